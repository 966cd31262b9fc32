//! The whole path, a test for each claim.
