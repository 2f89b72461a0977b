//! Verification of images: the kernel's verdict against the model's, about which `verified_faults`
//! is proved. Both must accept the same images, and the first errors must be of the same kind. The
//! test fails if Lean is not installed.
#![allow(clippy::print_stdout, reason = "a successful run prints its figures")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use antiphon_bridge::answers::output_digest;
use antiphon_bridge::scope::Part;
use antiphon_bridge::verification::{KINDS, VERIFIED, edges, verdict};
use antiphon_bridge::{hand, random, waves};
use antiphon_machine::{Canonical, CodeImage, sample};

mod common;

use common::project::{protocols, root};
use common::{Kept, VERIFICATION, oracle, recordings, regressions};

/// The random cases whose images are verified, and the images that each image is changed into.
const RANDOM_CASES: u64 = 400;
const BENT_OF_EACH: u64 = 4;

/// An image of more bytes is changed only once: the model takes long for it.
const SMALL: usize = 4_096;

/// The small-scope images are many and alike, so one in this number is verified.
const SCOPE_ONE_IN: usize = 8;

/// The images of a part, each once, with its name.
#[derive(Default)]
struct Images {
    seen: BTreeSet<Vec<u8>>,
    all: Vec<(String, CodeImage, Vec<u8>)>,
}

impl Images {
    fn add(&mut self, part: &str, image: &CodeImage) {
        let bytes = image.to_bytes();
        if self.seen.insert(bytes.clone()) {
            let name = format!("{part} {}", self.all.len());
            self.all.push((name, image.clone(), bytes));
        }
    }

    fn add_bent(&mut self) {
        for n in 0..self.all.len() {
            let (_, image, bytes) = &self.all[n];
            let count = if bytes.len() > SMALL { 1 } else { BENT_OF_EACH };
            let bent: Vec<_> = (0..count)
                .map(|k| random::bent(image, n as u64 * BENT_OF_EACH + k))
                .collect();
            bent.iter().for_each(|image| self.add("bent", image));
        }
    }
}

fn images() -> Images {
    let mut images = Images::default();
    let samples = [
        sample::ping_pong(1),
        sample::ping_pong_bytes(),
        sample::bare_ping_pong(),
        sample::told_ping_pong(),
    ];
    let samples = samples.iter();
    samples.for_each(|image| images.add("sample", image.image()));
    let project = protocols();
    assert!(project.len() > 100, "only {} protocols", project.len());
    project
        .iter()
        .for_each(|(_, _, compiled)| images.add("protocol", &compiled.image));
    let scope = Part::ALL.into_iter().flat_map(Part::cases);
    let parts = [
        ("hand-meant", hand::cases()),
        ("waves", waves::cases()),
        ("recording", recordings(&root())),
        ("regression", regressions(&root())),
        ("small scope", scope.step_by(SCOPE_ONE_IN).collect()),
        ("random", (0..RANDOM_CASES).map(random::case).collect()),
    ];
    for (part, cases) in parts {
        let all = cases.iter().flat_map(|case| &case.images);
        all.for_each(|image| images.add(part, image.image()));
    }
    images.add_bent();
    for (name, image) in edges() {
        images.add(&name, &image);
    }
    images
}

#[test]
fn model_and_kernel_verify_the_same_images() {
    let start = Instant::now();
    let images = images().all;
    let mut kept = Kept::open(VERIFICATION);
    let verdicts: Vec<&str> = images.iter().map(|(_, image, _)| verdict(image)).collect();
    let asked: Vec<usize> = (0..images.len())
        .filter(|n| {
            let digest = output_digest(&images[*n].2);
            kept.answers
                .must_ask(&digest, || output_digest(verdicts[*n].as_bytes()))
        })
        .collect();
    let bytes: Vec<&[u8]> = asked.iter().map(|n| images[*n].2.as_slice()).collect();
    let model = if bytes.is_empty() {
        Vec::new()
    } else {
        let model = oracle().verify(&bytes);
        model.unwrap_or_else(|error| panic!("{error}"))
    };
    let mut differ = Vec::new();
    for (n, model) in asked.iter().zip(&model) {
        let (name, image, bytes) = &images[*n];
        if model != verdicts[*n] {
            let error = image.clone().verify().err();
            differ.push(format!(
                "{name}: the model says {model}, the kernel {error:?}"
            ));
        }
        let answer = output_digest(model.as_bytes());
        assert!(kept.answers.add(output_digest(bytes), answer), "{name}");
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for verdict in &verdicts {
        *counts.entry(verdict).or_default() += 1;
    }
    println!("{counts:?}");
    println!(
        "{} images, {} of them verified by the model in this run; {:.1} s",
        images.len(),
        asked.len(),
        start.elapsed().as_secs_f64()
    );
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    kept.save();
    for kind in KINDS.iter().chain([&VERIFIED]) {
        assert!(counts.contains_key(kind), "no image has the verdict {kind}");
    }
}
