//! A JSON body whose errors name the field.

use actix_web::{Error, FromRequest, HttpRequest, dev::Payload, web::Json};
use futures_util::future::{FutureExt, LocalBoxFuture};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ApiError;

/// Extracts `T` from a JSON body; the limit and the content type are those of `JsonConfig`.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Body<T> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let json = Json::<Value>::from_request(request, payload);
        async move {
            let value = json.await?.into_inner();
            if !value.is_object() {
                // Serde would take the fields from an array, in the order of the struct.
                return Err(ApiError::Invalid("the body must be a JSON object".to_owned()).into());
            }
            let decoded = serde_path_to_error::deserialize(value);
            Ok(Self(decoded.map_err(|error| ApiError::Invalid(error.to_string()))?))
        }
        .boxed_local()
    }
}
