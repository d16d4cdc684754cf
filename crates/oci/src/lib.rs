//! Manifests, indexes, configs, layers, and the union of layers as a stream of file events.
