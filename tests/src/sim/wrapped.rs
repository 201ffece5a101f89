//! What a store around another one passes on as it is.

/// The methods of [`henge_store::Store`] that neither the watching store nor the flawed one changes, for
/// a struct whose field `inner` is the store within.
macro_rules! as_the_inner_store {
    () => {
        fn read(
            &self,
            key: henge_store::Key<'_>,
            visit: &mut dyn FnMut(Option<henge_store::Stored<'_>>),
        ) {
            self.inner.read(key, visit);
        }

        fn read_token(
            &self,
            token: henge_ring::Token,
            visit: &mut dyn FnMut(&[u8], henge_store::Stored<'_>),
        ) {
            self.inner.read_token(token, visit);
        }

        fn sweep(
            &self,
            partition: henge_ring::Partition,
            before_ms: u64,
            grace_ms: u64,
        ) -> henge_store::Swept {
            self.inner.sweep(partition, before_ms, grace_ms)
        }

        fn remove(&self, key: henge_store::Key<'_>, digest: u64) -> bool {
            self.inner.remove(key, digest)
        }

        fn newest(&self) -> henge_versioning::Stamp {
            self.inner.newest()
        }

        fn usage(&self) -> henge_store::Usage {
            self.inner.usage()
        }

        fn partition_bits(&self) -> u8 {
            self.inner.partition_bits()
        }
    };
}
pub(super) use as_the_inner_store;
