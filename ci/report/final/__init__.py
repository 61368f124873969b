"""What is written when a run has ended: terminal, summary, HTML, JUnit, picture."""
