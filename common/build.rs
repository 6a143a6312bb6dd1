//! Compiles the protos into Rust and writes the descriptor set for reflection. Nothing else.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from("../proto");
    let files = ["token", "project", "issuer", "revocation", "trust", "key", "verifier"]
        .map(|name| root.join(format!("ipms/token/v1/{name}.proto")))
        .into_iter()
        .chain([root.join("envoy/service/auth/v3/external_auth.proto")]);
    let descriptors = protox::compile(files, [&root])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?).join("ipms_token_v1.bin");
    fs::write(out, descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".ipms.token.v1")
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=../proto");
    Ok(())
}
