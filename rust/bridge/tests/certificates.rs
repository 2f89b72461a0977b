//! The machine's certificate checker against the model's, which is proved sound. The model must
//! accept every certificate that the compiler makes, and both checkers must give the same verdict
//! on certificates that were tampered with. On accepted certificates they must agree on the buffers
//! that are covered, and on the machines that admit the image. The test fails if Lean is not
//! installed.
#![allow(clippy::print_stdout, reason = "a successful run prints its figures")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use antiphon_bridge::answers::{Digest, output_digest};
use antiphon_bridge::certificates::{Claim, Verdict, certify};
use antiphon_bridge::random;
use antiphon_bridge::scope::Part;
use antiphon_codec::{Decoder, Encoder};
use antiphon_language::safety::Limits;
use antiphon_machine::safety::{CERTIFICATE_LEN_MAX, NO_LABEL, SafetyCertificate};
use antiphon_machine::{Canonical, CodeImage, VerifiedImage, sample};

mod common;

use common::project::protocols;
use common::{CERTIFICATE, Kept, oracle};

/// The number of random images that are certified and judged.
const RANDOM_IMAGES: usize = 300;

/// Certificates with more configurations are not tampered with.
const TAMPERED_CONFIGURATIONS: usize = 500;

/// One in this number of the random and small-scope certificates is tampered with.
const TAMPERED_ONE_IN: usize = 8;

/// One in this number of the small-scope images is checked with every small-scope certificate.
const CROSSED_ONE_IN: usize = 40;

/// The most input of one process, whose memory grows with what it has read.
const BYTES_PER_PROCESS: usize = 1 << 20;
const CLAIMS_PER_PROCESS: usize = 1_000;

/// An image with the certificate that was made for it.
struct Certified {
    name: String,
    claim: Claim,
    roles: usize,
    labels: usize,
    configurations: usize,
}

impl Certified {
    fn new(name: String, image: &CodeImage, certificate: &SafetyCertificate) -> Certified {
        Certified {
            name,
            claim: Claim::new(image, certificate),
            roles: image.roles.len(),
            labels: image.labels.len(),
            configurations: certificate.configurations(),
        }
    }

    /// Explores an image. `None` if its roles are not safe together.
    fn explored(name: String, image: &VerifiedImage) -> Option<Certified> {
        let certificate = certify(image, &Limits::default())?;
        Some(Certified::new(name, image.image(), &certificate))
    }
}

/// Every protocol of the project, with the certificate from its compilation.
fn project_protocols() -> Vec<Certified> {
    let (mut made, mut uncertified) = (Vec::new(), Vec::new());
    for (file, protocol, compiled) in protocols() {
        let name = format!("{file}: {}", protocol.name());
        match compiled.certificate {
            Some(certificate) => made.push(Certified::new(name, &compiled.image, &certificate)),
            None => uncertified.push(name),
        }
    }
    println!("too large to be certified: {uncertified:?}");
    made
}

fn samples() -> Vec<Certified> {
    let images = [
        sample::ping_pong(1),
        sample::ping_pong_bytes(),
        sample::bare_ping_pong(),
        sample::told_ping_pong(),
    ];
    let all = images.iter().enumerate();
    let made = all.map(|(n, image)| Certified::explored(format!("sample {n}"), image));
    made.map(|made| made.expect("every sample is safe"))
        .collect()
}

/// The distinct images that verify.
fn images(
    images: impl Iterator<Item = Arc<VerifiedImage>>,
) -> impl Iterator<Item = Arc<VerifiedImage>> {
    let mut seen = BTreeSet::new();
    images.filter(move |image| {
        let data = image.image();
        seen.insert(data.to_bytes()) && data.clone().verify().is_ok()
    })
}

/// The safe images of the small scope, and the bytes of all its images.
fn scope() -> (Vec<Certified>, Vec<Vec<u8>>) {
    let (mut made, mut all) = (Vec::new(), Vec::new());
    for part in Part::ALL {
        let cases = part.cases().into_iter();
        for (n, image) in images(cases.flat_map(|case| case.images)).enumerate() {
            made.extend(Certified::explored(format!("{part:?} {n}"), &image));
            all.push(image.image().to_bytes());
        }
    }
    (made, all)
}

fn random_images() -> Vec<Certified> {
    let all = images((0..).flat_map(|seed| random::case(seed).images));
    let made = all
        .enumerate()
        .filter_map(|(n, image)| Certified::explored(format!("random {n}"), &image));
    made.take(RANDOM_IMAGES).collect()
}

/// The parts of a certificate, from which wrong ones are made.
#[derive(Clone)]
struct Parts {
    format: u64,
    bound: u64,
    width: u64,
    count: u64,
    rows: Vec<Vec<u16>>,
}

impl Parts {
    fn read(bytes: &[u8]) -> Parts {
        let limits = antiphon_codec::Limits {
            bytes_len: CERTIFICATE_LEN_MAX,
            ..Default::default()
        };
        let mut from = Decoder::new(bytes, limits);
        assert_eq!(from.array(), Ok(5));
        let mut number = || from.uint().expect("a number");
        let [format, bound, width, count] = [number(), number(), number(), number()];
        let mut left = from.bytes().expect("the rows");
        let mut rows: Vec<Vec<u16>> = Vec::new();
        while !left.is_empty() {
            let shared = take(&mut left) as usize;
            let mut row: Vec<u16> = rows
                .last()
                .map_or_else(Vec::new, |row| row[..shared].into());
            while (row.len() as u64) < width {
                row.push((take(&mut left) as u16).wrapping_sub(1));
            }
            rows.push(row);
        }
        Parts {
            format,
            bound,
            width,
            count,
            rows,
        }
    }

    /// The certificate's bytes, with the head as it is. Each row is written as if it shared `slack`
    /// fewer numbers with the row before than it does.
    fn write(&self, slack: usize) -> Vec<u8> {
        let (mut bytes, mut before): (Vec<u8>, &[u16]) = (Vec::new(), &[]);
        for row in &self.rows {
            let shared = before.iter().zip(row).take_while(|(a, b)| a == b).count();
            let shared = shared.saturating_sub(slack);
            put(&mut bytes, shared as u64);
            for number in &row[shared..] {
                put(&mut bytes, u64::from(number.wrapping_add(1)));
            }
            before = row;
        }
        let mut whole = Vec::new();
        let mut to = Encoder::new(&mut whole);
        to.array(5).uint(self.format).uint(self.bound);
        to.uint(self.width).uint(self.count).bytes(&bytes);
        whole
    }

    /// The certificate with these rows in this order, and a matching head.
    fn with(&self, rows: Vec<Vec<u16>>) -> Parts {
        Parts {
            width: rows.first().map_or(0, |row| row.len() as u64),
            count: rows.len() as u64,
            rows,
            ..*self
        }
    }

    fn sorted(&self, mut rows: Vec<Vec<u16>>) -> Parts {
        rows.sort();
        rows.dedup();
        self.with(rows)
    }
}

fn take(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// A change to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tampering {
    /// No change.
    No,
    /// A configuration that is not the start is left out.
    Dropped,
    /// The start is left out.
    WithoutStart,
    /// A configuration is added in which a role cannot receive its next message.
    UnsafeAdded,
    /// A configuration has a state that does not exist, a gap in a buffer, or a number too many or
    /// too few.
    Foreign,
    /// The bytes end early.
    Cut,
    /// Bytes follow the certificate.
    Trailing,
    /// The head gives a wrong number of rows, length of rows or format.
    Head,
    /// A row is repeated, out of order, or shares less than it could.
    Order,
    /// The image's bytes end early.
    Image,
    /// The certificate is another image's.
    Other,
    /// The bound is changed.
    Bound,
    /// A bit is flipped.
    Flipped,
    /// A label in a buffer is changed.
    Relabelled,
}

impl Tampering {
    /// The number of kinds.
    const COUNT: usize = Tampering::Relabelled as usize + 1;

    /// Whether the change always makes the certificate invalid. The others may do no harm: a
    /// protocol without messages does not use the bound, and equal automata have equal
    /// certificates.
    fn is_fatal(self) -> bool {
        let harmless = [
            Tampering::No,
            Tampering::Other,
            Tampering::Bound,
            Tampering::Flipped,
            Tampering::Relabelled,
        ];
        !harmless.contains(&self)
    }
}

/// A claim, its origin, and the change that was made to it.
struct Question {
    part: &'static str,
    name: String,
    tampering: Tampering,
    claim: Claim,
}

/// Changes a certificate in every way.
struct Tamperer<'m> {
    made: &'m Certified,
    whole: Parts,
    coins: u64,
    questions: Vec<Question>,
}

impl Tamperer<'_> {
    fn tampered(n: usize, made: &Certified, other: &Certified) -> Vec<Question> {
        let whole = Parts::read(&made.claim.certificate);
        assert_eq!(whole.write(0), made.claim.certificate, "{}", made.name);
        let mut tamperer = Tamperer {
            made,
            whole,
            coins: n as u64,
            questions: Vec::new(),
        };
        tamperer.rows();
        tamperer.labels();
        tamperer.heads();
        tamperer.bytes();
        tamperer.add(Tampering::Other, other.claim.certificate.clone());
        let len = made.claim.image.len();
        for at in [0, len / 2, len - 1] {
            let mut claim = made.claim.clone();
            claim.image.truncate(at);
            tamperer.question(Tampering::Image, claim);
        }
        tamperer.questions
    }

    fn question(&mut self, tampering: Tampering, claim: Claim) {
        let name = format!("{}, {tampering:?}", self.made.name);
        self.questions.push(Question {
            part: "tampered with",
            name,
            tampering,
            claim,
        });
    }

    fn claim(&self, certificate: Vec<u8>) -> Claim {
        let image = self.made.claim.image.clone();
        Claim { image, certificate }
    }

    fn add(&mut self, tampering: Tampering, certificate: Vec<u8>) {
        if certificate != self.made.claim.certificate {
            let claim = self.claim(certificate);
            self.question(tampering, claim);
        }
    }

    /// A pseudo-random number below `n`.
    fn below(&mut self, n: usize) -> usize {
        self.coins = self
            .coins
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.coins >> 33) as usize % n.max(1)
    }

    fn is_start(&self, row: &[u16]) -> bool {
        let (states, labels) = row.split_at(self.made.roles);
        states.iter().all(|state| *state == 0) && labels.iter().all(|label| *label == NO_LABEL)
    }

    fn rows(&mut self) {
        let rows = self.whole.rows.clone();
        let start = rows.iter().position(|row| self.is_start(row));
        let start = start.expect("a certificate has the start");
        let mut dropped: BTreeSet<usize> = (0..4).map(|_| self.below(rows.len())).collect();
        dropped.extend([0, rows.len() - 1]);
        dropped.remove(&start);
        for at in dropped {
            let mut rows = rows.clone();
            rows.remove(at);
            self.add(Tampering::Dropped, self.whole.with(rows).write(0));
        }
        let mut without = rows.clone();
        without.remove(start);
        self.add(Tampering::WithoutStart, self.whole.with(without).write(0));

        let row = self.below(rows.len());
        let mut foreign = rows.clone();
        foreign[row][0] = NO_LABEL - 1;
        self.add(Tampering::Foreign, self.whole.sorted(foreign).write(0));
        let longer = rows.iter().map(|row| [&row[..], &[NO_LABEL]].concat());
        let longer = self.whole.sorted(longer.collect());
        self.add(Tampering::Foreign, longer.write(0));
        let shorter = rows.iter().map(|row| row[..row.len() - 1].to_vec());
        let shorter = self.whole.sorted(shorter.collect());
        self.add(Tampering::Foreign, shorter.write(0));
        if self.whole.bound >= 2 && rows[0].len() > self.made.roles {
            let mut gap = rows.clone();
            gap[row][self.made.roles] = NO_LABEL;
            gap[row][self.made.roles + 1] = 0;
            self.add(Tampering::Foreign, self.whole.sorted(gap).write(0));
        }

        if rows.len() >= 2 {
            let mut turned = rows.clone();
            let at = row.min(rows.len() - 2);
            turned.swap(at, at + 1);
            self.add(Tampering::Order, self.whole.with(turned).write(0));
        }
        let mut twice = rows.clone();
        twice.insert(row, rows[row].clone());
        self.add(Tampering::Order, self.whole.with(twice).write(0));
        self.add(Tampering::Order, self.whole.write(1));
    }

    /// Adds configurations with other labels at the head of a buffer. The first of them that is
    /// unsafe counts as [`Tampering::UnsafeAdded`].
    fn labels(&mut self) {
        let (roles, rows) = (self.made.roles, self.whole.rows.clone());
        let buffers: Vec<usize> = (roles..rows[0].len())
            .step_by(self.whole.bound as usize)
            .collect();
        if buffers.is_empty() {
            return;
        }
        let mut is_unsafe = false;
        for n in 0..24 {
            let mut row = rows[self.below(rows.len())].clone();
            let buffer = buffers[self.below(buffers.len())];
            row[buffer] = self.below(self.made.labels + 1) as u16;
            let mut more = rows.clone();
            more.push(row);
            let certificate = self.whole.sorted(more).write(0);
            let claim = self.claim(certificate.clone());
            if !is_unsafe && matches!(claim.verdict(), Some(Verdict::Bad(_))) {
                is_unsafe = true;
                self.add(Tampering::UnsafeAdded, certificate);
            } else if n < 3 {
                self.add(Tampering::Relabelled, certificate);
            }
            if is_unsafe && n >= 3 {
                break;
            }
        }
    }

    fn heads(&mut self) {
        let whole = self.whole.clone();
        for count in [whole.count - 1, whole.count + 1, u64::MAX] {
            let head = Parts {
                count,
                ..whole.clone()
            };
            self.add(Tampering::Head, head.write(0));
        }
        for format in [0, 2] {
            let head = Parts {
                format,
                ..whole.clone()
            };
            self.add(Tampering::Head, head.write(0));
        }
        for width in [whole.width - 1, whole.width + 1, 1 << 40] {
            let head = Parts {
                width,
                ..whole.clone()
            };
            self.add(Tampering::Head, head.write(0));
        }
        for bound in [0, whole.bound - 1, whole.bound + 1, 255, 256] {
            let head = Parts {
                bound,
                ..whole.clone()
            };
            self.add(Tampering::Bound, head.write(0));
        }
    }

    fn bytes(&mut self) {
        let bytes = self.made.claim.certificate.clone();
        for at in [0, 1, self.below(bytes.len()), bytes.len() - 1] {
            self.add(Tampering::Cut, bytes[..at].to_vec());
        }
        self.add(Tampering::Trailing, [&bytes[..], &[0]].concat());
        self.add(Tampering::Trailing, [&bytes[..], &bytes[..]].concat());
        for _ in 0..8 {
            let mut flipped = bytes.clone();
            let at = self.below(bytes.len());
            flipped[at] ^= 1 << self.below(8);
            self.add(Tampering::Flipped, flipped);
        }
    }
}

impl Question {
    /// The digest of what the model is given.
    fn digest(&self) -> Digest {
        let Claim { image, certificate } = &self.claim;
        let parts = [output_digest(image), output_digest(certificate)];
        output_digest(&parts.concat())
    }

    /// The digest of the machine's verdict as the model would write it.
    fn verdict(&self) -> Digest {
        let verdict = self.claim.verdict().map(|verdict| verdict.to_string());
        output_digest(verdict.unwrap_or_default().as_bytes())
    }
}

/// The verdicts of both sides.
#[derive(Default)]
struct Judged {
    /// The numbers of accepted and refused claims, by part.
    parts: BTreeMap<&'static str, [u64; 2]>,
    verdicts: BTreeMap<&'static str, u64>,
    /// The numbers of accepted and refused claims, by change.
    tampered: BTreeMap<Tampering, [u64; 2]>,
    /// The numbers of accepted claims by whether larger buffers are covered.
    covered: BTreeMap<bool, u64>,
    differences: Vec<String>,
}

impl Judged {
    fn add(&mut self, question: &Question, model: Verdict) {
        let (name, tampering) = (&question.name, question.tampering);
        let verdict = question.claim.verdict();
        let verdict = verdict.expect("every readable image verifies");
        if model != verdict {
            let difference = format!("{name}: the machine says {verdict}, the model {model}");
            self.differences.push(difference);
        }
        let is_accepted = matches!(model, Verdict::Accepted(_));
        if let Verdict::Accepted(covered) = model {
            *self.covered.entry(covered.full.is_none()).or_default() += 1;
        }
        assert!(tampering != Tampering::No || is_accepted, "{name}: {model}");
        assert!(!tampering.is_fatal() || !is_accepted, "{name}: accepted");
        let column = usize::from(!is_accepted);
        self.parts.entry(question.part).or_default()[column] += 1;
        self.tampered.entry(tampering).or_default()[column] += 1;
        *self.verdicts.entry(kind(verdict)).or_default() += 1;
    }

    fn finish(self) {
        for (part, [accepted, refused]) in &self.parts {
            println!("{part}: {accepted} accepted, {refused} refused");
        }
        println!("verdicts: {:?}", self.verdicts);
        for (tampering, [accepted, refused]) in &self.tampered {
            println!("{tampering:?}: {accepted} accepted, {refused} refused");
        }
        for (larger, accepted) in &self.covered {
            let what = if *larger { "at least" } else { "exactly" };
            println!("buffers of {what} the bound: {accepted}");
            assert!(
                *accepted >= 50,
                "few accepted certificates cover {what} the bound"
            );
        }
        assert_eq!(self.covered.len(), 2, "both kinds of coverage occur");
        for difference in self.differences.iter().take(10) {
            println!("{difference}");
        }
        let count = self.differences.len();
        assert_eq!(
            count, 0,
            "{count} verdicts differ; the first are printed above"
        );
        assert_eq!(self.verdicts.len(), 7, "every verdict is given");
        assert_eq!(
            self.tampered.len(),
            Tampering::COUNT,
            "every way to tamper is tried"
        );
    }
}

fn kind(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted(_) => "accepted",
        Verdict::NoImage => "no image",
        Verdict::NoCertificate => "no certificate",
        Verdict::Foreign(_) => "foreign",
        Verdict::NoStart => "no start",
        Verdict::Bad(_) => "bad",
        Verdict::Leak(_) => "leak",
    }
}

/// Divides the questions into a portion for each process.
fn portions(mut questions: &[Question]) -> Vec<&[Question]> {
    let mut portions = Vec::new();
    while !questions.is_empty() {
        let mut bytes = 0;
        let is_over = |question: &Question| {
            bytes += question.claim.image.len() + question.claim.certificate.len();
            bytes > BYTES_PER_PROCESS
        };
        let len = questions.iter().position(is_over);
        let len = len.unwrap_or(questions.len()).clamp(1, CLAIMS_PER_PROCESS);
        let (portion, rest) = questions.split_at(len);
        portions.push(portion);
        questions = rest;
    }
    portions
}

fn whole(part: &'static str, made: &[Certified]) -> Vec<Question> {
    let question = |made: &Certified| Question {
        part,
        name: made.name.clone(),
        tampering: Tampering::No,
        claim: made.claim.clone(),
    };
    made.iter().map(question).collect()
}

/// Changes each claim in half of all ways, so that over two claims every way is used. The other
/// image is that of the claim before.
fn wrong(made: &[Certified]) -> Vec<Question> {
    let others = made.iter().cycle().skip(made.len() - 1);
    let mut questions = Vec::new();
    for (n, (made, other)) in made.iter().zip(others).enumerate() {
        let mut ways: BTreeMap<Tampering, Vec<Question>> = BTreeMap::new();
        for question in Tamperer::tampered(n, made, other) {
            ways.entry(question.tampering).or_default().push(question);
        }
        for (tampering, mut ways) in ways {
            if (n + tampering as usize).is_multiple_of(2) {
                questions.push(ways.swap_remove(n / 2 % ways.len()));
            }
        }
    }
    questions
}

/// The claims that the certificates of `made` belong to other images, safe or not.
fn crossed(made: &[Certified], images: &[Vec<u8>]) -> Vec<Question> {
    let certificates: BTreeSet<&Vec<u8>> =
        made.iter().map(|made| &made.claim.certificate).collect();
    let mut questions = Vec::new();
    for (n, image) in images.iter().enumerate().step_by(CROSSED_ONE_IN) {
        for (m, certificate) in certificates.iter().enumerate() {
            questions.push(Question {
                part: "certificates of others",
                name: format!("image {n} with certificate {m} of the small scope"),
                tampering: Tampering::Other,
                claim: Claim {
                    image: image.clone(),
                    certificate: (*certificate).clone(),
                },
            });
        }
    }
    questions
}

#[test]
fn both_checkers_agree_on_valid_and_tampered_certificates() {
    let (written, samples, random) = (project_protocols(), samples(), random_images());
    let (scope, images) = scope();
    assert!(written.len() > 100, "only {} protocols", written.len());
    assert!(scope.len() > 100, "only {} are safe", scope.len());
    let mut questions = whole("protocols of the project", &written);
    questions.extend(whole("samples", &samples));
    questions.extend(whole("random images", &random));
    questions.extend(whole("small scope", &scope));
    questions.extend(crossed(&scope, &images));

    let all_of_these = written.len() + samples.len();
    let made = [written, samples, random, scope].into_iter().flatten();
    let some = made
        .enumerate()
        .filter(|(n, _)| *n < all_of_these || n % TAMPERED_ONE_IN == 0);
    let mut some: Vec<Certified> = some.map(|(_, made)| made).collect();
    some.retain(|made| made.configurations <= TAMPERED_CONFIGURATIONS);
    questions.extend(wrong(&some));

    let (start, oracle) = (Instant::now(), oracle());
    let mut judged = Judged::default();
    let mut kept = Kept::open(CERTIFICATE);
    let count = questions.len();
    let (asked, known): (Vec<Question>, Vec<Question>) =
        questions.into_iter().partition(|question| {
            kept.answers
                .must_ask(&question.digest(), || question.verdict())
        });
    // The known verdict of the model has the digest of this one, so it is the same.
    for question in &known {
        let verdict = question.claim.verdict();
        judged.add(question, verdict.expect("every readable image verifies"));
    }
    let portions = portions(&asked);
    let judge = |portion: &[Question]| {
        let claims = portion.iter().map(|question| question.claim.clone());
        oracle.judge(&claims.collect::<Vec<Claim>>())
    };
    for two in portions.chunks(2) {
        let verdicts = thread::scope(|scope| {
            let judging: Vec<_> = two
                .iter()
                .map(|portion| scope.spawn(|| judge(portion)))
                .collect();
            let join = |judging: ScopedJoinHandle<'_, _>| {
                judging.join().expect("the thread does not panic")
            };
            judging.into_iter().map(join).collect::<Vec<_>>()
        });
        for (portion, model) in two.iter().zip(verdicts) {
            let model = model.unwrap_or_else(|error| panic!("{error}"));
            for (question, model) in portion.iter().zip(model) {
                judged.add(question, model);
                let verdict = output_digest(model.to_string().as_bytes());
                assert!(
                    kept.answers.add(question.digest(), verdict),
                    "{}",
                    question.name
                );
            }
        }
    }
    kept.save();
    println!(
        "{count} claims, {} of them compared with the model's known verdicts, {} judged in {} \
         processes; {:.1} s",
        known.len(),
        asked.len(),
        portions.len(),
        start.elapsed().as_secs_f64()
    );
    judged.finish();
}
