#![no_main]

use adit_fuzz::decodes;
use adit_fuzz::proto::http1::{RequestHead, ResponseHead};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    decodes::<RequestHead>(input);
    decodes::<ResponseHead>(input);
});
