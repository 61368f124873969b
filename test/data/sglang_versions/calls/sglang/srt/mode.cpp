const char* mode() { return std::getenv("SGLANG_IN_CPP"); }
