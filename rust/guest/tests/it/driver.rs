//! The inbox of a driver.

use antiphon_guest::driver::{Driver, DriverGone, INBOX_LEN_MAX, InboxError};
use antiphon_machine::{EffectRequest, FromFn, Ingress, NoSink, Outcome, Reply, Rest};

#[test]
fn the_inbox_is_bounded_and_returns_inputs_that_it_refuses() {
    let application = FromFn(|_: &EffectRequest<'_>| Reply::Now(Outcome::done()));
    let mut driver = Driver::new(Default::default(), application, NoSink);
    let remote = driver.remote();
    let input = || Ingress::AdvanceClock { ticks: 1 };
    for _ in 0..INBOX_LEN_MAX {
        assert_eq!(remote.try_send(input()), Ok(()));
    }
    assert_eq!(remote.try_send(input()), Err(InboxError::Full(input())));
    assert_eq!(driver.run(), Rest::Done);
    drop(driver);
    assert_eq!(remote.try_send(input()), Err(InboxError::Gone(input())));
    assert_eq!(remote.send(input()), Err(InboxError::Gone(input())));
    assert_eq!(remote.probe(std::time::Duration::ZERO), Err(DriverGone));
}
