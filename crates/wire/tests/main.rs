//! Wire formats against contracts, golden documents and readers that are not ours.

mod suite {
    mod conformance;
}
