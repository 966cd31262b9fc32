//! Whether a request is recorded. Today: always, unless its caller decided not to.

use crate::trace_context::Parent;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A span is made, and the sampled flag goes on.
    Record,
    /// No span is made; the context goes on as it came.
    CarryOn,
}

/// Who decides for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sampler {
    /// The caller's flag, and for a new trace: always.
    #[default]
    ParentBasedAlwaysOn,
}

impl Sampler {
    /// Decides for a request with this parent.
    pub fn decide(self, parent: Option<&Parent>) -> Decision {
        match self {
            Self::ParentBasedAlwaysOn if parent.is_none_or(Parent::is_sampled) => Decision::Record,
            Self::ParentBasedAlwaysOn => Decision::CarryOn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn parent(flags: u8) -> Parent {
        Parent { trace_id: [1; 16], span_id: [2; 8], flags, state: String::new() }
    }

    #[test]
    fn the_caller_decides_and_a_new_trace_is_recorded() {
        let sampler = Sampler::default();
        assert_eq!(sampler.decide(None), Decision::Record);
        assert_eq!(sampler.decide(Some(&parent(0x01))), Decision::Record);
        assert_eq!(sampler.decide(Some(&parent(0x00))), Decision::CarryOn);
        assert_eq!(sampler.decide(Some(&parent(0x02))), Decision::CarryOn);
    }
}
