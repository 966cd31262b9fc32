//! Whether a request is recorded: its caller's decision, else the first rule that matches, else the
//! default; a rate a second bounds what is decided here. Clock and randomness come in as arguments.

pub mod bucket;
pub mod choice;
pub mod glob;
pub mod keep;
pub mod rule;

use crate::header_map::RequestHeaders;
use bucket::Bucket;
use choice::Choice;
pub use keep::{Keep, Kept};
pub use rule::Rule;

/// What is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether a caller's decision stands.
    pub parent_based: bool,
    /// What is done where no rule matches.
    pub default: Choice,
    /// The first that matches decides.
    pub rules: Vec<Rule>,
    /// Requests a second that are sampled by a decision made here, for this worker.
    pub max_per_second: Option<u32>,
    /// What is exported although it was not sampled.
    pub keep: Keep,
}

/// What becomes of the threshold that the callers' `tracestate` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// It goes on, if it fits to the decision.
    Keep,
    /// This one decided.
    Set(u64),
    /// The probability is not known.
    Erase,
}

/// The decision on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is recorded, and those that follow are told so.
    pub is_sampled: bool,
    /// What becomes of the threshold.
    pub threshold: Threshold,
    /// The place of the rule that decided, if one did.
    pub rule: Option<usize>,
    /// Whether a rate was used up.
    pub is_rate_limited: bool,
}

/// What the decision on a request is made of.
pub struct Subject<'a> {
    /// The request's headers.
    pub headers: &'a RequestHeaders<'a>,
    /// All of them, serialized: for a rule that looks at one.
    pub raw: &'a [u8],
    /// What the caller decided, if it did.
    pub decision: Option<bool>,
    /// What the route says, before any rule.
    pub route: Option<Choice>,
    /// The trace's randomness, 56 bits.
    pub randomness: u64,
}

/// Requests by what became of their spans, since the worker began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Not sampled at their headers, for whatever reason; those that were kept are among them.
    pub sampled_out: u64,
    /// Not sampled because a rate was used up; among those sampled out.
    pub rate_limited: u64,
    /// Not sampled, but made since they failed; among those made.
    pub kept_error: u64,
    /// Not sampled, but made since they were slow; among those made.
    pub kept_slow: u64,
}

/// Decides, and remembers what the rates have left.
#[derive(Debug)]
pub struct Sampler {
    /// What it decided.
    pub counts: Counts,
    settings: Settings,
    total: Option<Bucket>,
    of_rules: Vec<Option<Bucket>>,
}

impl Sampler {
    /// A sampler with full rates.
    pub fn new(settings: Settings) -> Self {
        let total = settings.max_per_second.map(Bucket::new);
        let of_rules =
            settings.rules.iter().map(|rule| rule.max_per_second.map(Bucket::new)).collect();
        Self { counts: Counts::default(), settings, total, of_rules }
    }

    /// What is exported although it was not sampled.
    pub fn keep(&self) -> &Keep {
        &self.settings.keep
    }

    /// The name of a rule.
    pub fn rule_name(&self, rule: usize) -> Option<&str> {
        self.settings.rules.get(rule)?.name.as_deref()
    }

    /// Whether and why a request that was not sampled is made all the same; it then counts as kept.
    pub fn keeps(&mut self, has_failed: bool, duration_ns: u64) -> Option<Kept> {
        let kept = self.settings.keep.why(has_failed, duration_ns)?;
        match kept {
            Kept::Error => self.counts.kept_error += 1,
            Kept::Slow => self.counts.kept_slow += 1,
        }
        Some(kept)
    }

    /// Decides on a request. The clock, ns, is asked only when a rate is configured.
    pub fn decide(&mut self, subject: &Subject<'_>, clock: impl FnOnce() -> u64) -> Verdict {
        let verdict = self.verdict(subject, clock);
        self.counts.sampled_out += u64::from(!verdict.is_sampled);
        self.counts.rate_limited += u64::from(verdict.is_rate_limited);
        verdict
    }

    fn verdict(&mut self, subject: &Subject<'_>, clock: impl FnOnce() -> u64) -> Verdict {
        if let (true, Some(is_sampled)) = (self.settings.parent_based, subject.decision) {
            let threshold = Threshold::Keep;
            return Verdict { is_sampled, threshold, rule: None, is_rate_limited: false };
        }
        let rules = &self.settings.rules;
        let matching = || rules.iter().position(|rule| rule.matches(subject.headers, subject.raw));
        let rule = if subject.route.is_some() { None } else { matching() };
        let of_rule = rule.and_then(|rule| rules.get(rule)).map(|rule| rule.choice);
        let choice = subject.route.or(of_rule).unwrap_or(self.settings.default);
        let is_chosen = choice.takes(subject.randomness);
        let has_rate = self.rate(rule).next().is_some();
        let is_rate_limited = is_chosen && has_rate && !self.has_room(rule, clock());
        let is_sampled = is_chosen && !is_rate_limited;
        let threshold = match choice {
            Choice::Ratio(threshold) if is_sampled && !has_rate => Threshold::Set(threshold),
            _ => Threshold::Erase,
        };
        Verdict { is_sampled, threshold, rule, is_rate_limited }
    }

    /// The rates that bound a request which this rule decided on.
    fn rate(&mut self, rule: Option<usize>) -> impl Iterator<Item = &mut Bucket> {
        let of_rule = rule.and_then(|rule| self.of_rules.get_mut(rule)?.as_mut());
        of_rule.into_iter().chain(self.total.as_mut())
    }

    /// Takes from every rate, or from none when one of them is used up.
    fn has_room(&mut self, rule: Option<usize>, now_ns: u64) -> bool {
        let has_room = self.rate(rule).all(|bucket| bucket.has_room(now_ns));
        if has_room {
            self.rate(rule).for_each(Bucket::take);
        }
        has_room
    }
}

#[cfg(test)]
mod tests;
