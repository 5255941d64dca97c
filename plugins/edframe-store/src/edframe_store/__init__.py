"""Dataset for edframe: samples in a store of edframe, in a folder or at a URL."""
