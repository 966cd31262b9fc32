//! The ledger: the numbers that travel with the records, so that a loss shows at the other end as a number.

mod stamp;
mod view;

pub use stamp::{STAMP_HEADER, Stamp};
pub use view::{Finding, View};
