"""What a failed job means: per test its verdict, evidence and symptom, what set-up did, and the next step."""
