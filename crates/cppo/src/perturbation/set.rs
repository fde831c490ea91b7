//! The perturbations of a run and the draw among them.

use std::fmt;

use image::RgbImage;
use rand::RngExt;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::check::within;
use super::{
    ColorJitter, NoiseRectangles, Perspective, Perturbation, Rotation, Seed, View, ZoomCrop,
};

/// A perturbation and how often it is drawn. A config writes both into one map:
/// `{kind: rotation, degrees: 5, weight: 2}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Weighted {
    /// What is drawn.
    #[serde(flatten)]
    pub perturbation: Perturbation,
    /// Share of the draws, relative to the others of the list; 1 if the config has none.
    pub weight: f64,
}

impl<P: Into<Perturbation>> From<P> for Weighted {
    fn from(perturbation: P) -> Self {
        Self { perturbation: perturbation.into(), weight: 1.0 }
    }
}

/// The perturbations among which each visit to a prompt draws one per view.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Perturbations {
    /// Those that keep the information.
    pub preserving: Vec<Weighted>,
    /// Those that remove information.
    pub removing: Vec<Weighted>,
}

impl Default for Perturbations {
    /// The official sets: colour jitter, perspective and rotation preserve; noise rectangles and
    /// the zoomed crop remove.
    fn default() -> Self {
        Self {
            preserving: vec![
                ColorJitter::default().into(),
                Perspective::default().into(),
                Rotation::default().into(),
            ],
            removing: vec![NoiseRectangles::default().into(), ZoomCrop::default().into()],
        }
    }
}

impl Perturbations {
    /// Checks both lists.
    ///
    /// # Errors
    ///
    /// Names the first key out of range, as `preserving[1].degrees`, its value and the range.
    pub fn validate(&self) -> Result<(), String> {
        for (list, entries) in [("preserving", &self.preserving), ("removing", &self.removing)] {
            if entries.is_empty() {
                return Err(format!("{list} is empty, must name at least one perturbation"));
            }
            for (place, entry) in entries.iter().enumerate() {
                within("weight", entry.weight, 1e-6..=1e6)
                    .and_then(|()| entry.perturbation.validate())
                    .map_err(|error| format!("{list}[{place}].{error}"))?;
            }
        }
        Ok(())
    }

    /// Draws the perturbation of a view by weight.
    ///
    /// # Panics
    ///
    /// On an empty list, which [`Perturbations::validate`] refuses.
    pub fn draw(&self, view: View, seed: Seed) -> &Perturbation {
        let entries = match view {
            View::Preserving => &self.preserving,
            View::Removing => &self.removing,
        };
        let total: f64 = entries.iter().map(|entry| entry.weight).sum();
        let mut rest = seed.choice(view).random::<f64>() * total;
        let chosen = entries.iter().position(|entry| {
            rest -= entry.weight;
            rest < 0.0
        });
        // Rounding can leave a rest of zero behind the last entry.
        &entries[chosen.unwrap_or(entries.len() - 1)].perturbation
    }

    /// A view of a prompt's pictures: one perturbation for all, its parameters drawn for each.
    ///
    /// # Panics
    ///
    /// May panic with a set that [`Perturbations::validate`] refuses.
    pub fn perturb(&self, view: View, pictures: &[RgbImage], seed: Seed) -> Vec<RgbImage> {
        let perturbation = self.draw(view, seed);
        let apply =
            |(place, picture)| perturbation.apply(picture, &mut seed.parameters(view, place));
        pictures.iter().enumerate().map(apply).collect()
    }
}

impl<'de> Deserialize<'de> for Weighted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WeightedVisitor)
    }
}

struct WeightedVisitor;

impl<'de> Visitor<'de> for WeightedVisitor {
    type Value = Weighted;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a map with the `kind` of a perturbation")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Weighted, A::Error> {
        let mut weight = None;
        let rest = WithoutWeight { map, weight: &mut weight };
        let perturbation = Perturbation::deserialize(MapAccessDeserializer::new(rest))?;
        Ok(Weighted { perturbation, weight: weight.unwrap_or(1.0) })
    }
}

/// Takes `weight` out of a map; serde's `flatten` would let unknown keys pass.
struct WithoutWeight<'a, A> {
    map: A,
    weight: &'a mut Option<f64>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutWeight<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if key != "weight" {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            if self.weight.replace(self.map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field("weight"));
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::varied;
    use super::super::{Blank, Identity, Noise};
    use super::*;

    fn read(json: &str) -> Perturbations {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn an_empty_config_has_the_official_sets() {
        let set = read("{}");
        assert_eq!(set, Perturbations::default());
        assert_eq!(set.validate(), Ok(()));
        let names = |list: &[Weighted]| -> Vec<_> {
            list.iter().map(|entry| (entry.perturbation.name(), entry.weight)).collect()
        };
        assert_eq!(
            names(&set.preserving),
            [("color_jitter", 1.0), ("perspective", 1.0), ("rotation", 1.0)]
        );
        assert_eq!(names(&set.removing), [("noise_rectangles", 1.0), ("zoom_crop", 1.0)]);
    }

    #[test]
    fn entries_have_a_weight_beside_their_parameters() {
        let json = r#"{"preserving": [{"kind": "rotation", "weight": 3, "degrees": 5},
            {"weight": 0.5, "kind": "color_jitter", "brightness": [0.9, 1.1]}, {"kind": "identity"}]}"#;
        let set = read(json);
        let jitter = ColorJitter { brightness: [0.9, 1.1], ..ColorJitter::default() };
        assert_eq!(
            set.preserving,
            [
                Weighted { perturbation: Rotation { degrees: 5.0 }.into(), weight: 3.0 },
                Weighted { perturbation: jitter.into(), weight: 0.5 },
                Weighted { perturbation: Identity {}.into(), weight: 1.0 },
            ]
        );
        assert_eq!(set.removing, Perturbations::default().removing);
        assert_eq!(read(&serde_json::to_string(&set).unwrap()), set);
    }

    #[test]
    fn what_no_kind_knows_is_refused_by_name() {
        let cases = [
            (r#"{"preserve": []}"#, "`preserve`"),
            (r#"{"removing": [{"kind": "zoom_crop", "scales": [0.6, 0.7]}]}"#, "`scales`"),
            (r#"{"removing": [{"kind": "invert", "bits": 2, "weight": 1}]}"#, "`bits`"),
            (r#"{"removing": [{"kind": "identity", "sigma": 2}]}"#, "`sigma`"),
            (r#"{"removing": [{"kind": "zoomcrop"}]}"#, "`zoomcrop`"),
            (r#"{"removing": [{"weight": 1}]}"#, "`kind`"),
            (r#"{"removing": [{"kind": "gray", "weight": 1, "weight": 2}]}"#, "`weight`"),
            (r#"{"removing": ["gray"]}"#, "`kind` of a perturbation"),
            (r#"{"removing": [{"kind": "patch_mask", "patch": -1}]}"#, "-1"),
        ];
        for (json, named) in cases {
            let error = serde_json::from_str::<Perturbations>(json).unwrap_err().to_string();
            assert!(error.contains(named), "{json}: {error}");
        }
    }

    #[test]
    fn a_set_that_cannot_be_drawn_from_is_refused_with_its_key() {
        let cases = [
            (r#"{"preserving": []}"#, "preserving is empty"),
            (r#"{"removing": []}"#, "removing is empty"),
            (r#"{"removing": [{"kind": "gray", "weight": 0}]}"#, "removing[0].weight is 0,"),
            (r#"{"removing": [{"kind": "gray", "weight": 1e300}]}"#, "removing[0].weight"),
            (
                r#"{"preserving": [{"kind": "gray"}, {"kind": "rotation", "degrees": 200}]}"#,
                "preserving[1].degrees is 200, must be between 0 and 180",
            ),
        ];
        for (json, expected) in cases {
            let error = read(json).validate().unwrap_err();
            assert!(error.starts_with(expected), "{json}: {error}");
        }
        for weight in [f64::NAN, f64::INFINITY] {
            let mut set = Perturbations::default();
            set.removing[1].weight = weight;
            assert!(set.validate().unwrap_err().starts_with("removing[1].weight"));
        }
    }

    #[test]
    fn draws_follow_the_weights_and_the_views_are_independent() {
        let mut set = Perturbations::default();
        set.preserving[0].weight = 2.0;
        let mut counts = std::collections::BTreeMap::new();
        let draws = 4000;
        for prompt in 0..draws {
            let seed = Seed { run: 5, step: 9, prompt };
            let names = [View::Preserving, View::Removing].map(|view| set.draw(view, seed).name());
            *counts.entry(names).or_insert(0.0) += 1.0 / draws as f64;
        }
        for (preserving, share) in
            [("color_jitter", 0.5), ("perspective", 0.25), ("rotation", 0.25)]
        {
            for removing in ["noise_rectangles", "zoom_crop"] {
                let found: f64 = counts[&[preserving, removing]];
                assert!((found - share / 2.0).abs() < 0.03, "{preserving} {removing}: {found}");
            }
        }
    }

    #[test]
    fn the_pictures_of_a_prompt_share_the_kind_but_not_the_parameters() {
        let list = vec![Noise::default().into(), Blank::default().into()];
        let set = Perturbations { preserving: list.clone(), removing: list };
        let pictures = [varied(20, 10), varied(20, 10), varied(5, 6)];
        let mut kinds = std::collections::HashSet::new();
        for prompt in 0..20 {
            let seed = Seed { prompt, ..Seed::default() };
            let perturbed = set.perturb(View::Removing, &pictures, seed);
            assert_eq!(perturbed.len(), 3);
            assert_eq!(perturbed, set.perturb(View::Removing, &pictures, seed));
            let blank = perturbed[2].as_raw().iter().all(|&level| level == 0);
            assert_eq!(perturbed[0] == perturbed[1], blank);
            kinds.insert(blank);
        }
        assert_eq!(kinds.len(), 2);
        assert!(set.perturb(View::Removing, &[], Seed::default()).is_empty());
    }
}
