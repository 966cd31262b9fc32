//! Destinations that behave as told: accept, refuse, hang, be away.
