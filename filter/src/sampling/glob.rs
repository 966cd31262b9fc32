//! A pattern in which `*` stands for any run of bytes, also none. Matches in time of pattern × text at
//! worst, without recursion.

/// A pattern; without a `*` it is the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// The pattern as it is written.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Whether the whole text is of this pattern.
    pub fn matches(&self, text: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut p, mut t) = (0, 0);
        // After the last star: where the pattern goes on, and where the text may be tried next.
        let mut retry: Option<(usize, usize)> = None;
        while let Some(byte) = text.get(t) {
            match pattern.get(p) {
                Some(b'*') => {
                    retry = Some((p + 1, t));
                    p += 1;
                }
                Some(wanted) if wanted == byte => {
                    p += 1;
                    t += 1;
                }
                _ => {
                    let Some((after_star, from)) = retry else { return false };
                    (p, t) = (after_star, from + 1);
                    retry = Some((after_star, from + 1));
                }
            }
        }
        pattern.iter().skip(p).all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn stars_stand_for_any_run() {
        for (pattern, text, matches) in [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("/a", "/", false),
            ("/api/*", "/api/", true),
            ("/api/*", "/api/v1/x", true),
            ("/api/*", "/api", false),
            ("*.example.com", "shop.example.com", true),
            ("*.example.com", "example.com", false),
            ("/users/*/orders", "/users/7/orders", true),
            ("/users/*/orders", "/users/7/orders/9", false),
            ("/*/b/*", "/a/b/b/", true),
            ("*", "", true),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
            ("*aab", "aaaab", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text.as_bytes()), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = Glob::new("*a".repeat(50));
        assert!(!pattern.matches("a".repeat(10_000).replace("aa", "ab").as_bytes()));
    }
}
