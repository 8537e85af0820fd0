//! What the object store refuses: strangers, keys that are no file names, keys that leave the bucket.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use s3s::{
    S3Request, S3Result,
    access::{S3Access, S3AccessContext},
    dto::{
        CompleteMultipartUploadInput, CopyObjectInput, CopySource, DeleteObjectsInput,
        UploadPartCopyInput,
    },
    s3_error,
};

/// While an object is uploaded in parts, the store keeps its attributes in a file named
/// `.bucket-….object-….upload-<uuid>.metadata.json`: two names in base64 and this many bytes more.
const ATTRIBUTES_NAME_BYTES: usize = 74;
/// What file systems allow.
const MAX_NAME_BYTES: usize = 255;

/// Runs before every request; what it lets pass is safe to use as a path below the bucket.
pub struct Guard {
    root: PathBuf,
}

impl Guard {
    pub fn new(root: &Path) -> Guard {
        Guard { root: root.to_owned() }
    }

    /// Objects are files and prefixes are directories, so neither can take the other's name.
    fn check_place(&self, bucket: &str, key: &str, writes: bool) -> S3Result<()> {
        let path = self.root.join(bucket).join(key);
        let is_prefix = !key.ends_with('/') && path.is_dir();
        if !writes {
            return if is_prefix { Err(s3_error!(NoSuchKey)) } else { Ok(()) };
        }
        let below = path.ancestors().skip(1).take_while(|parent| *parent != self.root);
        if is_prefix || below.into_iter().any(Path::is_file) {
            return Err(s3_error!(
                InvalidArgument,
                "this key and another one are each other's prefix; the embedded store keeps \
                 objects as files and cannot hold both"
            ));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl S3Access for Guard {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        if cx.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        }
        let Some((bucket, key)) = cx.s3_path().as_object() else { return Ok(()) };
        check_key(bucket, key)?;
        self.check_place(bucket, key, matches!(cx.method().as_str(), "PUT" | "POST"))
    }

    async fn copy_object(&self, request: &mut S3Request<CopyObjectInput>) -> S3Result<()> {
        check_source(&request.input.copy_source)
    }

    async fn upload_part_copy(&self, request: &mut S3Request<UploadPartCopyInput>) -> S3Result<()> {
        check_source(&request.input.copy_source)
    }

    async fn delete_objects(&self, request: &mut S3Request<DeleteObjectsInput>) -> S3Result<()> {
        request
            .input
            .delete
            .objects
            .iter()
            .try_for_each(|object| check_key(&request.input.bucket, &object.key))
    }

    /// Forgets the checksum of an object that is about to be replaced. The store would keep it, and
    /// clients, which compare it, would find the new content damaged.
    async fn complete_multipart_upload(
        &self,
        request: &mut S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<()> {
        let encode = |name: &str| base64_simd::URL_SAFE_NO_PAD.encode_to_string(name);
        let (bucket, key) = (encode(&request.input.bucket), encode(&request.input.key));
        let path = self.root.join(format!(".bucket-{bucket}.object-{key}.internal.json"));
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(s3_error!(error, InternalError))
            }
            _ => Ok(()),
        }
    }
}

fn check_source(source: &CopySource) -> S3Result<()> {
    match source {
        CopySource::Bucket { bucket, key, .. } => check_key(bucket, key),
        _ => Err(s3_error!(NotImplemented, "the embedded store has buckets only")),
    }
}

/// A key is a path below its bucket: no step up, none that vanishes, none too long for a file.
fn check_key(bucket: &str, key: &str) -> S3Result<()> {
    let in_base64 = |name: &str| (name.len() * 4).div_ceil(3);
    if ATTRIBUTES_NAME_BYTES + in_base64(bucket) + in_base64(key) > MAX_NAME_BYTES {
        let length = key.len();
        return Err(s3_error!(
            KeyTooLongError,
            "{length} bytes are too many for the embedded store"
        ));
    }
    let path = key.strip_suffix('/').unwrap_or(key);
    if key.contains('\0') || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(s3_error!(
            InvalidArgument,
            "a key of the embedded store has no empty part, no `.` and no `..` between slashes"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_not_plain_paths_are_refused() {
        for key in ["..", "../x", "a/../../x", "a/./b", "/a", "a//b", "a\0", &"k".repeat(130)] {
            assert!(check_key("beadle", key).is_err(), "{key:?}");
        }
        for key in ["a", "a/b.txt", "a/", "..a/b..", &"k".repeat(129)] {
            assert!(check_key("beadle", key).is_ok(), "{key:?}");
        }
    }
}
