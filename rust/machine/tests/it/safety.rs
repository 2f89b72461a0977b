//! Safety certificates, and admission of images to machines.

use std::sync::Arc;

use antiphon_codec::Encoder;
use antiphon_machine::safety::*;
use antiphon_machine::*;
use proptest::prelude::*;

use crate::common::*;

/// A sends three x to B, which never receives, and then expects x from C, which has sent y. With
/// buffers of two messages A waits for room before it comes to that.
fn ahead() -> Arc<VerifiedImage> {
    let x = |next| [go(X, UNIT, next)];
    let a = vec![
        set(R1, Value::Unit),
        send(X, R1),
        send(X, R1),
        send(X, R1),
        receive(X, R1),
        HALT,
    ];
    let b = vec![set(R1, Value::Unit), send(X, R1), jump(1)];
    let c = vec![set(R1, Value::Unit), send(Y, R1), receive(X, R1), jump(2)];
    let image = image(vec![
        (
            a,
            vec![to(B, x(1)), to(B, x(2)), to(B, x(3)), from(C, x(4)), END],
        ),
        (b, vec![to(C, x(0))]),
        (c, vec![to(A, [go(Y, UNIT, 1)]), from(B, x(1))]),
    ]);
    Arc::new(image.verify().expect("it verifies"))
}

/// The certificate that exploration with these buffers makes.
fn explored(image: &VerifiedImage, buffer: u8) -> SafetyCertificate {
    let system = System::of_image(image, buffer);
    let (mut rows, mut current) = (vec![system.start()], 0);
    while current < rows.len() {
        for (step, next) in system.steps(&rows[current]).expect("it is safe") {
            let row = system.successor(&rows[current], step, next);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        current += 1;
    }
    SafetyCertificate::of(&system, rows.iter().map(|row| &row[..]))
}

fn config(buffer_len_max: u32) -> ProtocolMachineConfig {
    ProtocolMachineConfig {
        policy: SchedulingPolicy::RoundRobin,
        buffer_len_max,
        ..Default::default()
    }
}

fn no_host(_: &EffectRequest<'_>) -> Reply {
    Reply::Later
}

type NoHost = FromFn<fn(&EffectRequest<'_>) -> Reply>;

fn machine(buffer_len_max: u32) -> ProtocolMachine<NoHost> {
    ProtocolMachine::new(config(buffer_len_max), FromFn(no_host))
}

/// The text in lines of at most 80 characters.
fn wrapped(text: &str) -> String {
    let (mut wrapped, mut width) = (String::new(), 0);
    for word in text.split(' ') {
        let is_full = width + word.len() > 80;
        wrapped += if is_full { "\n" } else { " " };
        wrapped += word;
        width = if is_full { 0 } else { width } + word.len() + 1;
    }
    wrapped.trim().to_owned()
}

#[test]
fn an_image_is_admitted_with_the_certificates_buffers() {
    let image = ahead();
    let certificate = explored(&image, 2);
    assert_eq!(certificate.configurations(), 18);
    let admission = admit(&config(2), &image, Evidence::Certificate(&certificate)).unwrap();
    assert_eq!(admission.way, Way::SameBound);
    assert_eq!(admission.coverage.to_string(), "buffers of 2 messages");
    let Coverage::Exactly { bound: 2, full } = admission.coverage else {
        panic!("A waits for room: {admission:?}");
    };
    let waiting = Waiting {
        role: B,
        peer: C,
        for_room: true,
    };
    assert_eq!((full.configuration, full.waiting), (0, waiting));
}

#[test]
fn an_image_whose_roles_never_wait_for_room_is_admitted_with_larger_buffers() {
    let image = sample::ping_pong(1);
    let certificate = explored(&image, 1);
    for (buffers, way) in [(1, Way::SameBound), (2, Way::Room), (64, Way::Room)] {
        let evidence = Evidence::Certificate(&certificate);
        let admission = admit(&config(buffers), &image, evidence).unwrap();
        assert_eq!(admission.way, way, "{buffers}");
        assert_eq!(admission.coverage, Coverage::AtLeast { bound: 1 });
    }
    let coverage = Coverage::AtLeast { bound: 1 };
    assert_eq!(coverage.to_string(), "buffers of at least 1 message");
}

#[test]
fn a_refusal_names_the_buffers_and_the_configuration() {
    let refused = |image: &VerifiedImage, certificate: &SafetyCertificate, buffers| {
        let evidence = Evidence::Certificate(certificate);
        let error = admit(&config(buffers), image, evidence).unwrap_err();
        wrapped(&error.to_string())
    };
    let (ahead, ping_pong) = (ahead(), sample::ping_pong(1));
    let certificate = explored(&ahead, 2);
    insta::assert_snapshot!(refused(&ahead, &certificate, 64), @"
    the certificate is for buffers of 2 messages, and the machine's hold 64: with
    these, role 1 can go on in configuration 0 of the certificate, where its buffer
    to role 2 is full; set `buffer_len_max` to 2, or change the protocol so that no
    role sends into a full buffer
    ");
    insta::assert_snapshot!(refused(&ahead, &certificate, 1), @"
    the certificate is for buffers of 2 messages, and the machine's hold only 1: set
    `buffer_len_max` to 2, or explore the protocol with buffers of 1
    ");
    assert_eq!(
        refused(&ping_pong, &certificate, 2),
        "configuration 0 does not fit these automata"
    );
    assert!(refused(&ping_pong, &explored(&ping_pong, 2), 0).contains("only 0"));
}

/// With buffers of 64 messages the session comes to a message that A cannot take, with those of its
/// certificate it never does.
#[test]
fn a_machine_loads_only_what_is_admitted() {
    let image = ahead();
    let certificate = explored(&image, 2);
    let evidence = Evidence::Certificate(&certificate);

    let mut wide = machine(64);
    let refused = wide.load_admitted(&image, "me", evidence);
    assert!(
        matches!(refused, Err(AdmissionError::NoRoom { .. })),
        "{refused:?}"
    );
    let open = Ingress::Open {
        image: *image.digest(),
        owner: "me".into(),
    };
    assert_eq!(wide.kernel().sessions().len(), 0);
    assert!(wide.ingress(open).is_err(), "the image is not known");
    let session = wide.load_choreography(&image, "me").unwrap();
    let fault = (0..100).find_map(|_| match wide.turn() {
        Turn::Stepped {
            step: Step::Faulted(fault),
            ..
        } => Some(fault),
        Turn::Stepped { .. } | Turn::Rest(_) => None,
    });
    let wrong = Fault::WrongLabel {
        role: A,
        state: StateId(3),
        got: Y,
    };
    assert_eq!(fault, Some(wrong));
    let phase = wide.kernel().session(session).unwrap().phase();
    assert_eq!(phase, Phase::Terminal(End::Faulted));

    let mut narrow = machine(2);
    let (session, admission) = narrow.load_admitted(&image, "me", evidence).unwrap();
    assert!(admission.coverage.covers(2));
    assert_eq!(narrow.run(10_000), None, "B and C go on");
    let phase = narrow.kernel().session(session).unwrap().phase();
    assert_eq!(phase, Phase::Active);
}

#[test]
fn the_kernel_loads_only_what_is_admitted() {
    let image = ahead();
    let certificate = explored(&image, 2);
    let evidence = Evidence::Certificate(&certificate);
    let mut kernel = ProtocolMachineKernel::new(config(3));
    let open = || Ingress::Open {
        image: *image.digest(),
        owner: "me".into(),
    };
    assert!(kernel.load_admitted(&image, evidence).is_err());
    assert!(kernel.ingress(open(), &mut NoSink).is_err());
    let mut kernel = ProtocolMachineKernel::new(config(2));
    assert_eq!(
        kernel.load_admitted(&image, evidence).unwrap().way,
        Way::SameBound
    );
    assert!(kernel.ingress(open(), &mut NoSink).is_ok());
}

#[cfg(feature = "threads")]
#[test]
fn threaded_machines_load_only_what_is_admitted() {
    use antiphon_machine::threaded::{
        Inbox, PerLane, ThreadedGuestRuntime, ThreadedProtocolMachine,
    };
    let image = ahead();
    let certificate = explored(&image, 2);
    let evidence = Evidence::Certificate(&certificate);
    let hosts = || PerLane::new(FromFn(no_host), []);
    for buffers in [2, 64] {
        let is_admitted = buffers == 2;
        let mut machine = ThreadedProtocolMachine::with_workers(config(buffers), hosts(), 1);
        let loaded = machine.load_admitted(&image, "me", evidence);
        assert_eq!(loaded.is_ok(), is_admitted, "{loaded:?}");
        let machine = ThreadedProtocolMachine::with_workers(config(buffers), hosts(), 1);
        let mut runtime = ThreadedGuestRuntime::new(machine, Inbox::new());
        let loaded = runtime.load_admitted(&image, "me", evidence);
        assert_eq!(loaded.is_ok(), is_admitted, "{loaded:?}");
        assert_eq!(runtime.kernel().sessions().len(), usize::from(is_admitted));
    }
}

#[test]
fn an_admitted_image_may_find_no_room_for_a_session() {
    let image = sample::ping_pong(1);
    let certificate = explored(&image, 2);
    let config = ProtocolMachineConfig {
        sessions_max: 0,
        ..config(64)
    };
    let mut machine = ProtocolMachine::new(config, FromFn(no_host));
    let refused = machine.load_admitted(&image, "me", Evidence::Certificate(&certificate));
    assert!(
        matches!(refused, Err(AdmissionError::Refused(_))),
        "{refused:?}"
    );
}

/// The bytes of a certificate whose first row has `width` numbers, and each other row the same but
/// for the last number.
fn long_prefixes(width: u64, count: u64, stated: u64) -> Vec<u8> {
    let number = |bytes: &mut Vec<u8>, mut n: u64| {
        while n >= 0x80 {
            bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        bytes.push(n as u8);
    };
    let mut rows = vec![];
    number(&mut rows, 0);
    (0..width).for_each(|_| rows.push(1));
    for row in 1..count {
        number(&mut rows, width - 1);
        number(&mut rows, row + 1);
    }
    encoded(width, stated, &rows)
}

/// The bytes of a certificate for buffers of two messages.
fn encoded(width: u64, count: u64, rows: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    let mut encoder = Encoder::new(&mut bytes);
    encoder
        .array(5)
        .uint(1)
        .uint(2)
        .uint(width)
        .uint(count)
        .bytes(rows);
    bytes
}

/// A row that shares its prefix takes a few bytes, however long it is. 200 KiB of these would
/// become 12 GiB.
#[test]
fn a_certificate_that_would_take_much_memory_is_refused() {
    let fits = long_prefixes(100_000, 100, 100);
    assert_eq!(
        SafetyCertificate::decode(&fits).unwrap().configurations(),
        100
    );
    let bytes = long_prefixes(100_000, 60_000, 60_000);
    assert!(bytes.len() < 512 << 10, "{}", bytes.len());
    let counted = allocation_counter::measure(|| {
        assert_eq!(
            SafetyCertificate::decode(&bytes),
            Err(CertificateError::TooLarge {
                count: 60_000,
                width: 100_000
            })
        );
    });
    assert!(counted.bytes_max < 1024, "{counted:?}");
    // One that states fewer rows is refused after these.
    let counted = allocation_counter::measure(|| {
        let bytes = long_prefixes(100_000, 60_000, 3);
        assert_eq!(
            SafetyCertificate::decode(&bytes),
            Err(CertificateError::Malformed { index: 3 })
        );
    });
    assert!(counted.bytes_max < 4 << 20, "{counted:?}");
    for (count, width) in [(u64::MAX, 2), (2, u64::MAX), (1 << 32, 1 << 32)] {
        let bytes = encoded(width, count, &[0, 1, 1]);
        let refused = SafetyCertificate::decode(&bytes);
        assert_eq!(refused, Err(CertificateError::TooLarge { count, width }));
    }
    for (count, width) in [(u64::MAX, 0), (2, 0)] {
        let bytes = encoded(width, count, &[0, 0]);
        let refused = SafetyCertificate::decode(&bytes);
        assert_eq!(refused, Err(CertificateError::Malformed { index: 1 }));
    }
}

#[test]
fn a_certificate_without_configurations_proves_nothing() {
    let image = ahead();
    let system = System::of_image(&image, 2);
    let empty = SafetyCertificate::of(&system, []);
    assert_eq!(empty.check(&image), Err(CertificateError::NoStart));
    assert_eq!(SafetyCertificate::decode(&empty.encode()), Ok(empty));
}

/// Rows of a system with other buffers are no configurations of this one.
#[test]
fn a_certificate_with_another_bound_in_its_head_is_refused() {
    let image = ahead();
    let certificate = explored(&image, 2);
    for buffer in [0, 1, 3, 64, 255] {
        let refused = certificate.check_system(&System::of_image(&image, buffer));
        assert_eq!(
            refused,
            Err(CertificateError::Foreign { index: 0 }),
            "{buffer}"
        );
    }
}

proptest! {
    /// Changed certificates are decoded and checked, or refused, without a panic. What is decoded
    /// has exactly one form.
    #[test]
    fn hostile_certificates_are_decoded_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        keeps in any::<bool>(),
    ) {
        let image = ahead();
        let mut bytes = explored(&image, 2).encode();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !keeps {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(certificate) = SafetyCertificate::decode(&bytes) {
            prop_assert_eq!(certificate.encode(), bytes);
            let config = config(2);
            let _ = admit(&config, &image, Evidence::Certificate(&certificate));
            let _ = admit(&config, &sample::ping_pong(1), Evidence::Certificate(&certificate));
        }
    }
}
