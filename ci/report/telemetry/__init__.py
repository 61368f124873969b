"""A run as OpenTelemetry has it: spans and metrics, sent where the user says."""
