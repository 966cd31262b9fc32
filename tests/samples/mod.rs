//! Traffic: the sample service and the driver that sends it requests.
