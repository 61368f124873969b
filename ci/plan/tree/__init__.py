"""What an SGLang checkout says of its own CI, and how our rows follow it."""
