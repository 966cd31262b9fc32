//! The ledger: the numbers that travel with the records, so that a loss shows at the other end as a number.

mod account;
mod acknowledged;
mod ahead;
mod kept;
mod stamp;
mod totals;
mod view;

pub use account::{Account, Fate};
pub use acknowledged::{Acknowledged, Claim, WriterTotals, Written};
pub use ahead::Ahead;
pub use kept::{Kept, MAX_METADATA_BYTES};
pub use stamp::{Mark, STAMP_HEADER, Stamp};
pub use totals::Totals;
pub use view::{Finding, View};
