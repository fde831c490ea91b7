//! Pictures that are encoded once for several passes, and perception pass by pass.

use std::ops::ControlFlow;

use burn::tensor::Device;
use generation::{
    Activations, GenerateOptions, RecordOptions, Recording, generate_blocking, score,
};
use image::RgbImage;
use perceive::{Passes, PerceiveError};
use processor::Message;
use qwen2_5_vl::Prompt;
use qwen2_5_vl::vision::VisionTransformer;
use session::{Companion, Parts, PerceiveRequest, Pretrained, SessionError};

use crate::reference::{case, distance, folder, model, text_prompt, values};

fn pretrained() -> Pretrained {
    let companion = |name: &'static str| -> Option<Companion> {
        let bytes = std::fs::read(folder().join("model").join(name)).ok()?;
        Some((name, bytes.into()))
    };
    let companions = session::FILES.into_iter().filter_map(companion).collect();
    Pretrained::new(model(&Device::flex()), Parts::new("reference".into(), companions).unwrap())
}

fn picture(name: &str) -> RgbImage {
    processor::decode(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

fn question() -> Vec<Message> {
    vec![Message::user(1, "What is it?")]
}

/// Ids, log-probabilities and entropies of the greedy answer.
fn answer(pretrained: &Pretrained, prompt: Prompt) -> Vec<(u32, f32, f32)> {
    let details = Some(Default::default());
    let options = GenerateOptions { max_new_tokens: 8, details, ..Default::default() };
    let go_on = |_: usize, _: &_| ControlFlow::Continue(());
    let completions = generate_blocking(&pretrained.model, &[prompt], &options, go_on).unwrap();
    completions[0].tokens.iter().map(|token| (token.id, token.logprob, token.entropy)).collect()
}

#[test]
fn encoded_prompts_score_as_their_pixels_do_also_among_others() {
    let model = model(&Device::flex());
    let pixels = [case(0), case(1), text_prompt("Why?"), case(2), case(3)];
    let mut mixed = pixels.clone();
    for index in [0, 2, 3] {
        model.encode_images(&mut mixed[index]).unwrap();
    }
    assert_eq!(
        mixed.clone().map(|prompt| prompt.image_embeds.is_some()),
        [true, false, false, true, false]
    );
    assert!(mixed[0].pixel_values.is_empty());
    let responses = vec![vec![5, 6, 7]; 5];
    let scores = |prompts: &[Prompt]| {
        let scores = score(&model, prompts, &responses, 1.0).unwrap();
        [values(scores.logprobs), values(scores.entropies)]
    };
    for (found, expected) in scores(&mixed).iter().zip(scores(&pixels)) {
        let worst = distance(found, &expected);
        assert!(worst < 1e-5, "{worst}");
    }
}

#[test]
fn visual_tokens_of_another_shape_and_training_on_them_are_refused() {
    let plain = model(&Device::flex());
    let mut prompt = case(0);
    plain.encode_images(&mut prompt).unwrap();
    let options = RecordOptions {
        temperature: 1.0,
        activations: Activations::Recomputed,
        train_vision: true,
    };
    let training = model(&Device::flex().autodiff());
    let error =
        Recording::new(&training, &[prompt.clone()], &[1], &[vec![5]], options).unwrap_err();
    assert!(error.to_string().contains("training needs their pixel values"), "{error}");
    prompt.image_embeds = prompt.image_embeds.map(|embeds| embeds.slice_dim(0, 1..2));
    let error = plain.batch(&[prompt]).unwrap_err().to_string();
    assert!(error.contains("visual tokens have the shape [1, "), "{error}");
}

#[test]
fn a_picture_that_stays_is_encoded_once() {
    let mut pretrained = pretrained();
    let pictures = [picture("view_preserving.png")];
    let ask = |pretrained: &Pretrained, pictures: &[RgbImage]| {
        let mut prompt = pretrained.prompt(&question(), pictures).unwrap();
        pretrained.encode_images(&mut prompt, pictures).unwrap();
        answer(pretrained, prompt)
    };
    let pixels = answer(&pretrained, pretrained.prompt(&question(), &pictures).unwrap());
    assert_eq!(ask(&pretrained, &pictures), pixels);
    // Another tower shows whether it runs.
    let config = pretrained.model.config().vision_config.clone();
    pretrained.model.visual = VisionTransformer::init(&config, &Device::flex());
    assert_eq!(ask(&pretrained, &pictures), pixels);
    ask(&pretrained, &[picture("view_removing.png")]);
    assert_ne!(ask(&pretrained, &pictures), pixels);
}

#[test]
fn perceive_tells_each_pass_and_stops_before_the_next() {
    let pretrained = pretrained();
    let pictures = [picture("view_preserving.png")];
    let request = PerceiveRequest {
        messages: question(),
        response_ids: Some(vec![5, 6]),
        draws: 2,
        ..Default::default()
    };
    let options = request.options();
    let run = |last: usize| {
        let mut seen = Vec::new();
        let on_pass = async |Passes { done, total }| {
            seen.push((done, total));
            if done == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let perceived = pretrained.perceive(&request, &options, &pictures, 1, on_pass);
        let perceived = pollster::block_on(perceived);
        (perceived, seen)
    };
    let (perceived, seen) = run(usize::MAX);
    assert_eq!(perceived.unwrap().tokens.len(), 2);
    assert_eq!(seen, [(0, 5), (1, 5), (2, 5), (3, 5), (4, 5)]);
    let (stopped, seen) = run(2);
    assert!(matches!(stopped, Err(SessionError::Perceive(PerceiveError::Cancelled))));
    assert_eq!(seen.len(), 3);
}
