//! The objective against PyTorch's values, and its cotangents against finite differences.

use cppo::{
    Algorithm, AlgorithmConfig, Batch, Cotangent, CplConfig, Gate, Kl, LossAgg, Objective,
    ViewScores, advantages, objective, perception, takes_gradient, takes_views,
};
use proptest::prelude::*;
use safetensors::SafeTensors;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference");

/// One batch with its arrays.
#[derive(Clone, Debug)]
struct Owned {
    tokens: usize,
    lengths: Vec<usize>,
    advantages: Vec<f32>,
    correct: Vec<bool>,
    scored: Vec<bool>,
    old: Vec<f32>,
    reference: Vec<f32>,
    original: ViewScores,
    preserving: ViewScores,
    removing: ViewScores,
}

impl Owned {
    fn batch(&self) -> Batch<'_> {
        Batch {
            tokens: self.tokens,
            max_response_tokens: 20,
            lengths: &self.lengths,
            advantages: &self.advantages,
            correct: &self.correct,
            scored: &self.scored,
            old_logprobs: &self.old,
            ref_logprobs: Some(&self.reference),
            original: &self.original,
            preserving: Some(&self.preserving),
            removing: Some(&self.removing),
        }
    }

    fn objective(&self, config: &AlgorithmConfig) -> Objective {
        objective(&self.batch(), config)
    }
}

fn metric(objective: &Objective, name: &str) -> f64 {
    objective.metrics.iter().find(|(other, _)| *other == name).map(|(_, value)| *value).unwrap()
}

/// The reference's four responses of which each is padded to 14 tokens.
fn reference() -> (Owned, Vec<u8>, serde_json::Value) {
    let arrays = std::fs::read(format!("{FOLDER}/reference.safetensors")).unwrap();
    let json = std::fs::read_to_string(format!("{FOLDER}/reference.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let json = json["objective"].clone();
    let view = |name: &str| ViewScores {
        logprobs: floats(&arrays, &format!("objective.{name}.logprobs")),
        entropies: floats(&arrays, &format!("objective.{name}.entropy")),
        kl: Vec::new(),
    };
    let numbers = |key: &str| -> Vec<f64> {
        json[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let rewards: Vec<f32> = numbers("rewards").into_iter().map(|reward| reward as f32).collect();
    let owned = Owned {
        tokens: 14,
        lengths: numbers("lengths").into_iter().map(|length| length as usize).collect(),
        advantages: advantages(&rewards, 4, &AlgorithmConfig::default()),
        correct: rewards.iter().map(|&reward| reward >= 0.9).collect(),
        scored: vec![true; 4],
        old: floats(&arrays, "objective.old_logprobs"),
        reference: floats(&arrays, "objective.ref_logprobs"),
        original: view("original"),
        preserving: view("preserving"),
        removing: view("removing"),
    };
    (owned, arrays, json)
}

fn floats(arrays: &[u8], name: &str) -> Vec<f32> {
    let arrays = SafeTensors::deserialize(arrays).unwrap();
    let bytes = arrays.tensor(name).unwrap().data().to_vec();
    bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn every_array_and_loss_term_equals_pytorch() {
    let (owned, arrays, json) = reference();
    let found = owned.objective(&AlgorithmConfig::default());
    let expected = floats(&arrays, "objective.advantages");
    let shifts = floats(&arrays, "objective.delta_entropy");
    let scores = floats(&arrays, "objective.normalized_shift");
    let selected = floats(&arrays, "objective.perception_mask");
    let gated = floats(&arrays, "objective.gated_mask");
    let batch = owned.batch();
    for response in 0..4 {
        let row = batch.row(response);
        assert!((owned.advantages[response] - expected[row.start]).abs() < 1e-6);
        let found = perception(
            &owned.original.entropies[row.clone()],
            &owned.removing.entropies[row.clone()],
            &CplConfig::default(),
        );
        for (token, place) in row.enumerate() {
            assert!((found.shift[token] - shifts[place]).abs() < 1e-6);
            assert!((found.score[token] - scores[place]).abs() < 1e-6);
            assert_eq!(found.selected[token], selected[place] == 1.0, "{response} {token}");
        }
    }
    for (found, expected) in found.perception.iter().zip(&gated) {
        assert_eq!(*found, *expected == 1.0);
    }
    for (name, key) in [
        ("actor/pg_loss", "pg_loss"),
        ("actor/kl_loss", "kl_loss"),
        ("actor/cpl_loss", "cpl_loss"),
        ("actor/loss", "loss"),
    ] {
        let (found, expected) = (metric(&found, name), json[key].as_f64().unwrap());
        assert!((found - expected).abs() < 1e-6, "{name}: {found} {expected}");
    }
    let preserving = floats(&arrays, "objective.kl_preserving");
    let removing = floats(&arrays, "objective.kl_removing");
    let terms = floats(&arrays, "objective.cpl_tokens");
    for response in 0..4 {
        for place in batch.row(response) {
            let p = f64::from(owned.original.logprobs[place]);
            let near = cppo::kl(Kl::K3, p, f64::from(owned.preserving.logprobs[place])).value;
            let far = cppo::kl(Kl::K3, p, f64::from(owned.removing.logprobs[place])).value;
            assert!((near - f64::from(preserving[place])).abs() < 1e-5, "{near}");
            assert!((far - f64::from(removing[place])).abs() < 1e-5, "{far}");
            let (value, _) = cppo::contrast(near, far, 0.1);
            assert!((value - f64::from(terms[place])).abs() < 1e-4, "{value}");
        }
    }
}

/// Numbers that stay clear of the kinks of clips and clamps.
fn batches() -> impl Strategy<Value = Owned> {
    let lengths = proptest::collection::vec(0usize..6, 1..5);
    (lengths, any::<u64>()).prop_map(|(lengths, seed)| {
        let mut state = seed | 1;
        let mut uniform = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u32 << 24) as f32
        };
        let size = lengths.len() * 6;
        let mut view = |offset: f32| ViewScores {
            logprobs: (0..size).map(|_| -2.5 * uniform() - 0.05 - offset).collect(),
            entropies: (0..size).map(|_| uniform() * 2.0).collect(),
            kl: (0..size).map(|_| uniform()).collect(),
        };
        let (original, preserving, removing, others) =
            (view(0.0), view(0.0), view(0.3), [view(0.0), view(0.0)]);
        let advantages = (0..lengths.len()).map(|row| [1.3, -0.8, 0.4, 0.0][row % 4]).collect();
        let correct = (0..lengths.len()).map(|row| row % 2 == 0).collect();
        let scored = vec![true; lengths.len()];
        let [old, reference] = others.map(|view| view.logprobs);
        let tokens = 6;
        Owned {
            tokens,
            lengths,
            advantages,
            correct,
            scored,
            old,
            reference,
            original,
            preserving,
            removing,
        }
    })
}

fn configs() -> Vec<AlgorithmConfig> {
    let base = AlgorithmConfig { entropy_coef: 0.03, clip_high: 0.28, ..Default::default() };
    let cpl = |kl_kind, gate| AlgorithmConfig {
        cpl: CplConfig { kl_kind, gate, coef: 0.7, tau: 0.5, ..Default::default() },
        ..base.clone()
    };
    vec![
        AlgorithmConfig { name: Algorithm::Grpo, ..base.clone() },
        AlgorithmConfig { loss_agg: LossAgg::SeqMeanTokenMean, kl_kind: Kl::K1, ..base.clone() },
        AlgorithmConfig { loss_agg: LossAgg::SeqMeanTokenSum, kl_kind: Kl::K2, ..base.clone() },
        AlgorithmConfig { loss_agg: LossAgg::SeqMeanTokenSumNorm, pg_coef: 0.0, ..base.clone() },
        cpl(Kl::K1, Gate::None),
        cpl(Kl::K2, Gate::Correct),
        cpl(Kl::K3, Gate::Advantage),
        cpl(Kl::Full, Gate::Advantage),
        AlgorithmConfig { name: Algorithm::Papo, ..base.clone() },
        AlgorithmConfig { name: Algorithm::Vppo, ..base },
    ]
}

type Values = fn(&mut Owned) -> &mut Vec<f32>;
type Slopes = fn(&Objective) -> &Vec<f32>;

/// Every array that the objective is differentiated by.
const INPUTS: [(&str, Values, Slopes); 6] = [
    ("original.logprobs", |o| &mut o.original.logprobs, |o| &o.original.logprobs),
    ("original.entropies", |o| &mut o.original.entropies, |o| &o.original.entropies),
    ("preserving.logprobs", |o| &mut o.preserving.logprobs, |o| &o.preserving.logprobs),
    ("preserving.kl", |o| &mut o.preserving.kl, |o| &o.preserving.kl),
    ("removing.logprobs", |o| &mut o.removing.logprobs, |o| &o.removing.logprobs),
    ("removing.kl", |o| &mut o.removing.kl, |o| &o.removing.kl),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn cotangents_equal_finite_differences(owned in batches()) {
        let step = 1e-3f32;
        for config in configs() {
            let found = owned.objective(&config);
            prop_assert!(found.loss.is_finite());
            for (name, values, slopes) in INPUTS {
                // Selection carries no gradient by definition: VPPO's depends on this view, and
                // CPPO's on the entropies.
                let frozen = config.name == Algorithm::Vppo && name.starts_with("removing");
                if frozen || (config.name == Algorithm::Cppo && name.ends_with("entropies")) {
                    continue;
                }
                for place in 0..owned.lengths.len() * owned.tokens {
                    let loss = |change: f32| {
                        let mut moved = owned.clone();
                        values(&mut moved)[place] += change;
                        moved.objective(&config).loss
                    };
                    let (up, down, here) = (loss(step), loss(-step), found.loss);
                    let expected = (up - down) / 2.0 / f64::from(step);
                    let found = f64::from(slopes(&found)[place]);
                    // At a kink the two one-sided slopes differ, and either is right.
                    let sides = [(up - here) / f64::from(step), (here - down) / f64::from(step)];
                    let near = |x: f64| (x - found).abs() < 2e-3 * (1.0 + found.abs());
                    prop_assert!(
                        near(expected) || (near(sides[0]) || near(sides[1])),
                        "{:?} {} {}: {} {}", config.name, name, place, found, expected
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_flows_through_padding_or_responses_without_views(owned in batches()) {
        for config in configs() {
            let found = owned.objective(&config);
            let taken = takes_views(&owned.advantages, &owned.correct, &config);
            for (response, &taken) in taken.iter().enumerate() {
                let row = owned.batch().row(response);
                let padding = row.end..(response + 1) * owned.tokens;
                for view in [&found.original, &found.preserving, &found.removing] {
                    prop_assert!(view.is_zero(padding.clone()));
                }
                if !taken {
                    prop_assert!(found.preserving.is_zero(row.clone()));
                    prop_assert!(found.removing.is_zero(row));
                }
            }
        }
    }

    #[test]
    fn what_is_not_needed_is_not_read(owned in batches()) {
        for config in configs() {
            let mut blind = owned.clone();
            let taken = takes_views(&owned.advantages, &owned.correct, &config);
            for (response, taken) in taken.iter().enumerate() {
                let row = owned.batch().row(response);
                let padding = row.end..(response + 1) * owned.tokens;
                for (_, values, _) in INPUTS {
                    values(&mut blind)[padding.clone()].fill(f32::NAN);
                }
                if !taken {
                    for (_, values, _) in &INPUTS[2..] {
                        values(&mut blind)[row.clone()].fill(f32::NAN);
                    }
                    blind.removing.entropies[row].fill(f32::NAN);
                }
            }
            prop_assert_eq!(blind.objective(&config), owned.objective(&config));
        }
    }

    #[test]
    fn responses_without_gradient_need_no_scores(owned in batches()) {
        for config in configs() {
            let config = AlgorithmConfig { kl_coef: 0.0, entropy_coef: 0.0, ..config };
            let mut blind = owned.clone();
            blind.scored = takes_gradient(&owned.advantages, &owned.correct, &config);
            for (response, scored) in blind.scored.clone().iter().enumerate() {
                if !scored {
                    let row = owned.batch().row(response);
                    for (_, values, _) in INPUTS {
                        values(&mut blind)[row.clone()].fill(f32::NAN);
                    }
                }
            }
            let (found, expected) = (blind.objective(&config), owned.objective(&config));
            prop_assert_eq!(found.loss, expected.loss);
            prop_assert_eq!(found.original, expected.original);
            prop_assert_eq!(found.removing, expected.removing);
        }
    }
}

#[test]
fn an_empty_gate_gives_no_contrastive_loss() {
    let (mut owned, ..) = reference();
    owned.advantages.fill(-1.0);
    let found = owned.objective(&AlgorithmConfig::default());
    assert_eq!(metric(&found, "actor/cpl_loss"), 0.0);
    assert!(found.loss.is_finite() && found.perception.iter().all(|selected| !selected));
    assert_eq!(found.removing, Cotangent::zeros(56));
}
