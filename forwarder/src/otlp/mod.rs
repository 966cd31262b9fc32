//! The OTLP wire format, and nothing else: split by trace, count, join; no span is decoded or changed.
