//! Registries of clouds, which know this process by its identity there.

use std::pin::Pin;
use std::sync::Arc;

use proofmark_registry::{Credential, CredentialProvider, Secret};
use proofmark_sign::{CloudRegistry, CloudRegistryName};

use crate::failure::{Failure, chain};
use crate::keys::surroundings;

#[derive(Debug)]
struct Provider(CloudRegistry);

impl CredentialProvider for Provider {
    fn credential(&self) -> Pin<Box<dyn Future<Output = Result<Credential, String>> + Send + '_>> {
        Box::pin(async {
            let credential = self.0.credential().await.map_err(|error| chain(&error))?;
            Ok(Credential::Password {
                username: credential.username.clone(),
                password: Secret::new(credential.password.to_string()),
            })
        })
    }
}

/// Whom to ask for the credential of a registry. Nobody is asked yet.
pub(crate) fn provider(name: &CloudRegistryName) -> Result<Arc<dyn CredentialProvider>, Failure> {
    match CloudRegistry::find(name, &surroundings()) {
        Ok(registry) => Ok(Arc::new(Provider(registry))),
        Err(error) => {
            let message = format!("--cloud-registry {}: {}", name.host(), chain(&error));
            Err(Failure::usage(error.code(), message))
        }
    }
}
