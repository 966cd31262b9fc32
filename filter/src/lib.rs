//! The Spanferry filter.
