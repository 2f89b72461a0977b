//! Messages per second of the native machine, for comparison with
//! `rust/wasm/bench/messages.mjs` on the same machine at the same time.
#![expect(clippy::print_stdout, reason = "the tool prints its results")]

use std::sync::Arc;
use std::time::Instant;

use antiphon_machine::{
    EffectRequest, FromFn, Outcome, ProtocolMachine, Reply, VerifiedImage, sample,
};

const MESSAGES: u64 = 200_000;
const ROUNDS: usize = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    measure("no host calls", &sample::bare_ping_pong(), MESSAGES * 4)?;
    measure(
        "deliveries to both hosts, handler in Rust",
        &sample::told_ping_pong(),
        MESSAGES * 5,
    )?;
    Ok(())
}

fn measure(
    name: &str,
    image: &Arc<VerifiedImage>,
    steps: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let host = FromFn(|_: &EffectRequest<'_>| Reply::Now(Outcome::done()));
    let mut machine = ProtocolMachine::new(Default::default(), host);
    machine.load_choreography(image, "bench")?;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        if let Some(rest) = machine.run(steps) {
            return Err(format!("the machine stopped: {rest:?}").into());
        }
        rates.push(MESSAGES as f64 / start.elapsed().as_secs_f64() / 1e6);
    }
    rates.sort_by(f64::total_cmp);
    let (median, best) = (rates[ROUNDS / 2], rates[ROUNDS - 1]);
    println!("{name}: {median:.2} million messages/s, best {best:.2}");
    Ok(())
}
