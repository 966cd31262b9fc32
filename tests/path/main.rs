//! The whole path, a test for each claim, one after the other: they share one Kafka, and two cores.

mod all_in_one;
mod bench;
mod bench_filter;
mod bridge_away;
mod busy;
mod context;
mod crowd;
mod dead_letters;
mod examples;
mod forwarders;
mod fresh;
mod gateway;
mod harness;
mod jaeger_kept;
mod kills;
mod ledger;
mod lost;
mod native;
mod normal;
mod one_trace;
mod outage;
mod overload;
mod oversize;
mod parts;
mod peers_losses;
mod reload;
mod rig;
mod sampling;
mod shared_records;
mod shutdown;
mod soak;
mod spans;
mod spool;
mod torture;
mod traps;
mod truncated;
mod unchanged;
mod unreadable;

fn main() -> std::process::ExitCode {
    let claims = [
        parts::tests(),
        native::tests(),
        examples::tests(),
        bench::tests(),
        bench_filter::tests(),
        one_trace::tests(),
        context::tests(),
        sampling::tests(),
        normal::tests(),
        outage::tests(),
        busy::tests(),
        fresh::tests(),
        jaeger_kept::tests(),
        forwarders::tests(),
        bridge_away::tests(),
        unchanged::tests(),
        shared_records::tests(),
        oversize::tests(),
        unreadable::tests(),
        lost::tests(),
        ledger::tests(),
        truncated::tests(),
        dead_letters::tests(),
        peers_losses::tests(),
        overload::tests(),
        kills::tests(),
        torture::tests(),
        all_in_one::tests(),
        spool::tests(),
        shutdown::tests(),
        spans::tests(),
        reload::tests(),
        traps::tests(),
        crowd::tests(),
        soak::tests(),
    ];
    harness::run(claims.into_iter().flatten().collect())
}
