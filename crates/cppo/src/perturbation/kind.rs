//! The list of perturbations.

use image::RgbImage;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{
    Affine, Blank, ColorJitter, GaussianBlur, Gray, HorizontalFlip, Invert, Kind, Noise,
    NoiseRectangles, PatchMask, Perspective, Posterize, Rotation, Shift, Solarize, VerticalFlip,
    ZoomCrop,
};

/// Leaves the picture as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {}

impl Kind for Identity {
    fn apply(&self, picture: &RgbImage, _rng: &mut ChaCha8Rng) -> RgbImage {
        picture.clone()
    }
}

macro_rules! perturbations {
    ($($kind:ident = $name:literal),* $(,)?) => {
        /// A perturbation with its parameters; in a config a map whose `kind` names it, with the
        /// parameters beside it where they differ from the defaults.
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        #[serde(tag = "kind")]
        #[allow(missing_docs, reason = "each kind's struct says what it does")]
        pub enum Perturbation {
            $(#[serde(rename = $name)] $kind($kind),)*
        }

        impl Perturbation {
            /// Every kind with its default parameters.
            pub fn all() -> Vec<Self> {
                vec![$(Self::$kind($kind::default()),)*]
            }

            /// The `kind` of a config.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $name,)*
                }
            }

            fn kind(&self) -> &dyn Kind {
                match self {
                    $(Self::$kind(kind) => kind,)*
                }
            }
        }

        $(impl From<$kind> for Perturbation {
            fn from(kind: $kind) -> Self {
                Self::$kind(kind)
            }
        })*
    };
}

perturbations! {
    Identity = "identity",
    ColorJitter = "color_jitter",
    Perspective = "perspective",
    Rotation = "rotation",
    Shift = "shift",
    Noise = "noise",
    GaussianBlur = "gaussian_blur",
    NoiseRectangles = "noise_rectangles",
    ZoomCrop = "zoom_crop",
    PatchMask = "patch_mask",
    Blank = "blank",
    Posterize = "posterize",
    Solarize = "solarize",
    Invert = "invert",
    Gray = "gray",
    HorizontalFlip = "horizontal_flip",
    VerticalFlip = "vertical_flip",
    Affine = "affine",
}

impl Perturbation {
    /// Checks the parameters' ranges.
    ///
    /// # Errors
    ///
    /// Names the first key out of range, its value and the range.
    pub fn validate(&self) -> Result<(), String> {
        self.kind().validate()
    }

    /// A perturbed copy of the same size; the parameters are drawn anew.
    ///
    /// # Panics
    ///
    /// May panic with parameters that [`Perturbation::validate`] refuses.
    pub fn apply(&self, picture: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        if picture.is_empty() { picture.clone() } else { self.kind().apply(picture, rng) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::varied;
    use super::super::{Seed, View};
    use super::*;

    fn rng(prompt: u64) -> ChaCha8Rng {
        Seed { prompt, ..Seed::default() }.parameters(View::Preserving, 0)
    }

    fn read(json: &str) -> Perturbation {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    /// The ends of what is allowed.
    fn extremes() -> Vec<Perturbation> {
        let extremes = [
            r#"{"kind": "color_jitter", "brightness": [0, 255], "contrast": [0, 255], "saturation": [0, 255]}"#,
            r#"{"kind": "perspective", "distortion": 1, "probability": 1}"#,
            r#"{"kind": "perspective", "distortion": 0, "probability": 1}"#,
            r#"{"kind": "rotation", "degrees": 180}"#,
            r#"{"kind": "shift", "pixels": 4294967295}"#,
            r#"{"kind": "noise", "sigma": 255}"#,
            r#"{"kind": "gaussian_blur", "sigma": [0, 0]}"#,
            r#"{"kind": "gaussian_blur", "sigma": [50, 50]}"#,
            r#"{"kind": "noise_rectangles", "count": 1000, "side": [1, 1]}"#,
            r#"{"kind": "noise_rectangles", "count": 1, "side": [0, 0]}"#,
            r#"{"kind": "zoom_crop", "scale": [0.01, 0.01]}"#,
            r#"{"kind": "zoom_crop", "scale": [1, 1]}"#,
            r#"{"kind": "patch_mask", "patch": 4294967295, "ratio": 1}"#,
            r#"{"kind": "patch_mask", "patch": 1, "ratio": 0}"#,
            r#"{"kind": "posterize", "bits": 1}"#,
            r#"{"kind": "solarize", "threshold": 0}"#,
            r#"{"kind": "affine", "degrees": 180, "translate": 1, "scale": [0.01, 100], "shear": 89}"#,
        ];
        extremes.map(read).into_iter().chain(Perturbation::all()).collect()
    }

    #[test]
    fn every_kind_keeps_the_size_of_every_picture() {
        for perturbation in extremes() {
            assert_eq!(perturbation.validate(), Ok(()), "{perturbation:?}");
            for size in [(0, 0), (0, 3), (1, 1), (1, 17), (17, 1), (2, 2), (3, 2), (15, 29)] {
                for prompt in 0..8 {
                    let perturbed = perturbation.apply(&varied(size.0, size.1), &mut rng(prompt));
                    assert_eq!(perturbed.dimensions(), size, "{perturbation:?}");
                }
            }
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_picture_and_another_seed_another() {
        let without_randomness = [
            "identity",
            "blank",
            "posterize",
            "solarize",
            "invert",
            "gray",
            "horizontal_flip",
            "vertical_flip",
        ];
        let picture = varied(60, 45);
        for perturbation in Perturbation::all() {
            let drawn: Vec<_> =
                (0..12).map(|prompt| perturbation.apply(&picture, &mut rng(prompt))).collect();
            let again = perturbation.apply(&picture, &mut rng(3));
            assert_eq!(drawn[3], again, "{}", perturbation.name());
            let constant = drawn.iter().all(|picture| *picture == drawn[0]);
            let expected = without_randomness.contains(&perturbation.name());
            assert_eq!(constant, expected, "{}", perturbation.name());
        }
    }

    #[test]
    fn a_kind_alone_has_its_defaults_and_is_written_as_it_is_read() {
        for perturbation in Perturbation::all() {
            let alone = format!(r#"{{"kind": "{}"}}"#, perturbation.name());
            assert_eq!(read(&alone), perturbation);
            let written = serde_json::to_string(&perturbation).unwrap();
            assert_eq!(read(&written), perturbation, "{written}");
        }
    }

    #[test]
    fn the_defaults_are_the_official_values() {
        let cases = [
            (
                "color_jitter",
                r#""brightness": [0.2, 1.3], "contrast": [0.2, 1.8], "saturation": [0.2, 1.8]"#,
            ),
            ("perspective", r#""distortion": 0.2, "probability": 0.5"#),
            ("rotation", r#""degrees": 10"#),
            ("noise_rectangles", r#""count": 50, "side": [0.05, 0.15], "probability": 1"#),
            ("zoom_crop", r#""scale": [0.6, 0.7]"#),
            ("patch_mask", r#""patch": 14, "ratio": 0.6"#),
        ];
        for (name, parameters) in cases {
            let full = read(&format!(r#"{{"kind": "{name}", {parameters}}}"#));
            assert_eq!(full, read(&format!(r#"{{"kind": "{name}"}}"#)));
        }
    }

    #[test]
    fn parameters_out_of_range_are_refused_by_name() {
        let cases = [
            (r#"{"kind": "color_jitter", "brightness": [1.3, 0.2]}"#, "brightness"),
            (r#"{"kind": "color_jitter", "contrast": [-0.1, 1]}"#, "contrast"),
            (r#"{"kind": "color_jitter", "saturation": [0, 300]}"#, "saturation"),
            (r#"{"kind": "perspective", "distortion": 1.1}"#, "distortion"),
            (r#"{"kind": "perspective", "probability": -0.5}"#, "probability"),
            (r#"{"kind": "rotation", "degrees": -1}"#, "degrees"),
            (r#"{"kind": "noise", "sigma": 256}"#, "sigma"),
            (r#"{"kind": "gaussian_blur", "sigma": [1, 51]}"#, "sigma"),
            (r#"{"kind": "noise_rectangles", "count": 0}"#, "count"),
            (r#"{"kind": "noise_rectangles", "side": [0.5, 1.5]}"#, "side"),
            (r#"{"kind": "noise_rectangles", "probability": 2}"#, "probability"),
            (r#"{"kind": "zoom_crop", "scale": [0, 0.5]}"#, "scale"),
            (r#"{"kind": "patch_mask", "patch": 0}"#, "patch"),
            (r#"{"kind": "patch_mask", "ratio": 1.5}"#, "ratio"),
            (r#"{"kind": "posterize", "bits": 9}"#, "bits"),
            (r#"{"kind": "affine", "shear": 90}"#, "shear"),
            (r#"{"kind": "affine", "degrees": 181}"#, "degrees"),
            (r#"{"kind": "affine", "translate": 2}"#, "translate"),
            (r#"{"kind": "affine", "scale": [0, 1]}"#, "scale"),
        ];
        for (json, key) in cases {
            let error = read(json).validate().unwrap_err();
            assert!(error.starts_with(&format!("{key} is ")), "{json}: {error}");
            assert!(error.contains("must be"), "{error}");
        }
        let not_finite = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        for value in not_finite {
            assert!(Perturbation::from(Rotation { degrees: value }).validate().is_err());
            let jitter = ColorJitter { contrast: [0.5, value], ..ColorJitter::default() };
            assert!(Perturbation::from(jitter).validate().is_err());
        }
    }

    proptest! {
        #[test]
        fn no_size_and_no_seed_fails(
            width in 1u32..24,
            height in 1u32..24,
            prompt: u64,
            kind in prop::sample::select(extremes()),
        ) {
            let perturbed = kind.apply(&varied(width, height), &mut rng(prompt));
            prop_assert_eq!(perturbed.dimensions(), (width, height));
        }
    }
}
