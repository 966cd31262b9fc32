//! Our bridge alone with other settings, in turns: what a compression costs here and saves in Kafka.

use crate::bridges::Stage;
use crate::corpus::{Corpus, Recipe};
use crate::figures::{Figure, Slice};
use crate::ground::Ground;
use crate::load::Protocol;
use crate::sides::Bridge;
use crate::turns::Way;
use anyhow::{Context, Result};
use spanferry_tests::measure::Spread;
use std::sync::Arc;

/// What is tried when nothing else is asked for; the first is the default.
const COMPRESSIONS: [&str; 6] = [
    "lz4, the default:",
    "none: --kafka-property compression.type=none",
    "snappy: --kafka-property compression.type=snappy",
    "zstd, level 1: --kafka-property compression.type=zstd --kafka-property compression.level=1",
    "zstd, level 3: --kafka-property compression.type=zstd --kafka-property compression.level=3",
    "gzip, level 1: --kafka-property compression.type=gzip --kafka-property compression.level=1",
];

/// Settings by a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// For a reader.
    name: String,
    /// Flags of `spanferry bridge`.
    flags: Vec<String>,
}

/// A variant and what it used and gave in each round.
pub struct Tried {
    /// The spans and the variant, for a reader.
    pub name: String,
    rounds: Vec<Slice>,
}

impl Tried {
    /// One figure over all rounds.
    pub fn of(&self, figure: Figure) -> Spread {
        Spread::of(self.rounds.iter().map(figure))
    }
}

/// `NAME: FLAGS`.
impl std::str::FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Variant, String> {
        let (name, flags) =
            text.split_once(':').ok_or(format!("{text:?}: expected NAME: FLAGS"))?;
        let flags = flags.split_whitespace().map(str::to_owned).collect();
        Ok(Variant { name: name.trim().to_owned(), flags })
    }
}

/// Measures all of them over all rounds, as fast as they go. One turn of each before them warms up.
pub async fn measure(ground: &Ground, recipe: Recipe, spans: u64) -> Result<Vec<Tried>> {
    let corpus = Arc::new(Corpus::make(recipe, ground.arguments.seed)?);
    let mut stages = Vec::new();
    for variant in variants(ground)? {
        let stage = start(ground, &variant, &corpus).await.with_context(|| variant.name.clone())?;
        stage.saturate(ground, spans).await?;
        let name = format!("{}, {}", recipe.name, variant.name);
        stages.push((stage, Tried { name, rounds: Vec::new() }));
    }
    let count = stages.len();
    for round in 0..ground.arguments.rounds as usize {
        eprintln!("settings, {}: round {} of {}", recipe.name, round + 1, ground.arguments.rounds);
        for place in 0..count {
            let (stage, tried) = &mut stages[(place + round) % count];
            tried.rounds.push(stage.saturate(ground, spans).await.context(tried.name.clone())?);
        }
    }
    Ok(stages.into_iter().map(|(_, tried)| tried).collect())
}

fn variants(ground: &Ground) -> Result<Vec<Variant>> {
    let asked = &ground.arguments.variant;
    if !asked.is_empty() {
        return Ok(asked.clone());
    }
    let usual = ground.some_of(&COMPRESSIONS).into_iter().map(str::parse);
    usual.collect::<Result<_, String>>().map_err(anyhow::Error::msg)
}

async fn start(ground: &Ground, variant: &Variant, corpus: &Arc<Corpus>) -> Result<Stage> {
    let topic = ground.topic(ground.arguments.partitions).await?;
    let flags: Vec<&str> = variant.flags.iter().map(String::as_str).collect();
    let bridge = Bridge::own(ground, &topic.location(&ground.kafka), &flags).await?;
    Ok(Stage { bridge, topic, corpus: corpus.clone(), protocol: Protocol::Http })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_a_name_and_flags() {
        let variant: Variant = "a name: --record batch".parse().unwrap();
        assert_eq!((&variant.name[..], variant.flags.len()), ("a name", 2));
        assert!("no flags".parse::<Variant>().is_err());
        for usual in COMPRESSIONS {
            usual.parse::<Variant>().unwrap();
        }
    }
}
