//! Pure views of results: terminal, HTML, SARIF, CycloneDX.
