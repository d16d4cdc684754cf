//! The roots in the program: each is signed as it says, by keys that this client can use.

use std::collections::BTreeMap;

use proofmark_trust_root::Instance;
use proofmark_trust_root::tuf::{Repository, Store, Updater};

#[tokio::test]
async fn every_embedded_root_is_signed_by_its_own_keys() {
    for instance in Instance::ALL {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        let repository = Repository::files(BTreeMap::new());
        let refresh = |pinned: Vec<u8>| {
            let (repository, store) = (&repository, &store);
            async move {
                let updater = Updater::new(repository, store, &pinned, instance.taken());
                updater.refresh().await.map(|_| ()).unwrap_err().code()
            }
        };
        // The root is believed, and then there is nothing else.
        assert_eq!(refresh(instance.tuf_root().to_vec()).await, "tuf-missing", "{instance}");
        let text = String::from_utf8(instance.tuf_root().to_vec()).unwrap();
        let changed = text.replacen("\"threshold\": ", "\"threshold\": 1", 1);
        assert_ne!(changed, text, "{instance}");
        assert_eq!(refresh(changed.into_bytes()).await, "tuf-threshold", "{instance}");
    }
}
