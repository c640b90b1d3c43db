//! Masking (RFC 6455 section 5.3).

/// Masks or unmasks in place, beginning with the key's first byte.
///
/// Eight bytes a step in a form that the compiler makes vectors of: more is not worth it, the
/// memory is the limit.
pub fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (blocks, rest) = bytes.as_chunks_mut::<8>();
    for block in blocks {
        *block = (u64::from_ne_bytes(*block) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}
