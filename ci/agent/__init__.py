"""The program that runs tests in the engine's interpreter. Nothing of `ci` imports it."""
