"""Decide: catalog + facts + request -> one frozen plan. No file, socket, process or clock is touched here."""
