//! AWS X-Ray's `X-Amzn-Trace-Id`: `Root=1-{8 digits}-{24 digits};Parent={16 digits};Sampled={0, 1 or ?}`.
//! For reading only. Source: the tracing header in the AWS X-Ray developer guide.

use super::{Found, Parent, hex};
use crate::header_map::{ContextHeader, RequestHeaders};

/// Reads the header; fields in any order, others passed over. Without a parent there is nobody to join:
/// a load balancer then only numbered the request.
pub fn extract(headers: &RequestHeaders<'_>) -> Option<Found> {
    let (mut root, mut parent, mut decision) = (None, None, None);
    for field in headers.context(ContextHeader::AmznTraceId).split(|byte| *byte == b';') {
        let field = field.trim_ascii();
        if let Some(value) = field.strip_prefix(b"Root=") {
            root = Some(root_id(value)?);
        } else if let Some(value) = field.strip_prefix(b"Parent=") {
            parent = hex::id(value).filter(|_| value.len() == 16);
        } else if let Some(value) = field.strip_prefix(b"Sampled=") {
            decision = match value {
                b"1" => Some(true),
                b"0" => Some(false),
                _ => None,
            };
        }
    }
    Some(Found { parent: Some(Parent::new(root?, parent?)), decision, is_debug: false })
}

/// `1-{time, 8 digits}-{24 digits}` as the 16 bytes of a trace id.
fn root_id(value: &[u8]) -> Option<[u8; 16]> {
    let digits = value.strip_prefix(b"1-")?;
    let (time, rest) = digits.split_at_checked(8)?;
    let unique = rest.strip_prefix(b"-").filter(|unique| unique.len() == 24)?;
    let (time, unique) = (hex::padded::<4>(time)?, hex::padded::<12>(unique)?);
    let mut id = [0; 16];
    id[..4].copy_from_slice(&time);
    id[4..].copy_from_slice(&unique);
    (id != [0; 16]).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::super::test_headers::headers;
    use super::*;
    use crate::testing::test;

    fn read(value: &str) -> Option<Found> {
        extract(&headers(&[(ContextHeader::AmznTraceId, value)]))
    }

    #[test]
    fn the_example_of_the_developer_guide_is_read() {
        let found =
            read("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
                .unwrap();
        let parent = found.parent.unwrap();
        assert_eq!(parent.trace_id, 0x5759_e988_bd86_2e3f_e1be_46a9_9427_2793_u128.to_be_bytes());
        assert_eq!(parent.span_id, 0x5399_5c3f_42cd_8ad8_u64.to_be_bytes());
        assert_eq!(found.decision, Some(true));
    }

    #[test]
    fn order_spaces_and_other_fields_do_not_matter() {
        let found = read(
            "Self=1-67891234-12456789abcdef012345678; Sampled=0; Parent=53995c3f42cd8ad8; \
             Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a:b",
        );
        assert_eq!(found.unwrap().decision, Some(false));
    }

    #[test]
    fn a_decision_may_be_left_to_us() {
        for sampled in ["", ";Sampled=?", ";Sampled="] {
            let found = read(&format!(
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8{sampled}"
            ));
            assert_eq!(found.unwrap().decision, None, "{sampled}");
        }
    }

    #[test]
    fn a_malformed_or_partial_header_is_not_read() {
        for value in [
            "",
            "Root=1-5759e988-bd862e3fe1be46a994272793",
            "Parent=53995c3f42cd8ad8",
            "Root=2-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8",
            "Root=1-5759e988-bd862e3fe1be46a99427279;Parent=53995c3f42cd8ad8",
            "Root=1-5759e988bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8",
            "Root=1-00000000-000000000000000000000000;Parent=53995c3f42cd8ad8",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0000000000000000",
            "root=1-5759e988-bd862e3fe1be46a994272793;parent=53995c3f42cd8ad8",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
