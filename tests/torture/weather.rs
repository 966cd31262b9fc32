//! What is done between the processes: the networks refuse, hang, cut, lose answers and are slow, and the destination
//! answers 429, 500 and 503, or not at all.

use super::torment::Torment;
use crate::fakes::proxy::{Network, Proxy};
use crate::fakes::sink::{Behaviour, Control};
use rand::Rng;
use std::time::Duration;

impl Torment {
    /// Spoils a network, again and again, until the storm is over; then it is open.
    pub async fn network(mut self, network: Proxy, victim: &'static str) -> Proxy {
        while self.pause(1_000, 5_000).await {
            let (name, now) = match self.chance.random_range(0..5) {
                0 => ("network refuses", Network::Refuse),
                1 => ("network hangs", Network::Hang),
                2 => ("network cuts", Network::CutRequests(self.chance.random_range(1..5_000))),
                3 => ("network loses answers", Network::LoseAnswers),
                _ => ("network is slow", Network::Slow(self.chance.random_range(2_000..100_000))),
            };
            self.counts.add(name, victim);
            network.be(now);
            tokio::time::sleep(self.ms(50, 1_500)).await;
            network.be(Network::Open);
        }
        network
    }

    /// Has the sink answer badly, again and again, until the storm is over.
    pub async fn answers(mut self, sink: Control) {
        while self.pause(500, 4_000).await {
            let (name, behaviour) = match self.chance.random_range(0..5) {
                0 => ("answers 429", Behaviour::Refuse(429)),
                1 => ("answers 500", Behaviour::Refuse(500)),
                2 => ("answers 503", Behaviour::Refuse(503)),
                3 => ("answers late", Behaviour::Delay(Duration::from_millis(300))),
                _ => ("no answer", Behaviour::Hang),
            };
            self.counts.add(name, "the destination");
            sink.behave(behaviour);
            tokio::time::sleep(self.ms(50, 1_200)).await;
            sink.behave(Behaviour::Accept);
        }
    }
}
