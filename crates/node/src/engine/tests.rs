//! The engine against itself: several engines and a perfect network.
