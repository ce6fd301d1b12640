//! The C library's collations, by `strcoll_l`: only where this process has the server's own glibc.

use std::cmp::Ordering;

/// A locale of this process's C library.
#[derive(Debug)]
pub struct Locale(imp::Handle);

impl Locale {
    /// `None`: not UTF-8, not installed here, or `version` isn't this process's glibc, so the order may differ.
    pub fn open(locale: &str, version: &str) -> Option<Self> {
        let (_, encoding) = locale.split_once('.')?;
        let encoding = encoding.split('@').next().unwrap_or(encoding);
        if !encoding.eq_ignore_ascii_case("UTF-8") && !encoding.eq_ignore_ascii_case("UTF8") {
            return None;
        }
        if imp::version()? != version {
            return None;
        }
        imp::Handle::open(locale).map(Self)
    }

    /// As `varstr_cmp`: ties are broken by bytes. Text has no NUL.
    pub fn compare(&self, left: &[u8], right: &[u8]) -> Ordering {
        if left == right {
            return Ordering::Equal;
        }
        with_nul(left, |left_nul| with_nul(right, |right_nul| self.0.compare(left_nul, right_nul)))
            .then_with(|| left.cmp(right))
    }
}

/// Most text is short: it is copied to the stack.
fn with_nul<T>(text: &[u8], use_it: impl FnOnce(&std::ffi::CStr) -> T) -> T {
    let mut short = [0_u8; 256];
    let long;
    let terminated = if text.len() < short.len() {
        for (to, from) in short.iter_mut().zip(text) {
            *to = *from;
        }
        short.as_slice()
    } else {
        long = [text, &[0]].concat();
        long.as_slice()
    };
    use_it(std::ffi::CStr::from_bytes_until_nul(terminated).unwrap_or_default())
}

/// The version of the C library, if it is glibc.
pub fn version() -> Option<&'static str> {
    imp::version()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod imp {
    use std::cmp::Ordering;
    use std::ffi::{CStr, CString, c_char, c_int, c_void};

    // `<locale.h>`, `<string.h>`, `<gnu/libc-version.h>` of glibc. `locale_t` is a pointer.
    unsafe extern "C" {
        fn newlocale(mask: c_int, locale: *const c_char, base: *mut c_void) -> *mut c_void;
        fn freelocale(locale: *mut c_void);
        fn strcoll_l(left: *const c_char, right: *const c_char, locale: *mut c_void) -> c_int;
        fn gnu_get_libc_version() -> *const c_char;
    }

    /// `LC_CTYPE_MASK | LC_COLLATE_MASK`
    const MASK: c_int = 1 | 1 << 3;

    /// An owned `locale_t`, not null.
    #[derive(Debug)]
    pub struct Handle(*mut c_void);

    // SAFETY: a locale object is never changed after `newlocale`, and `strcoll_l` is MT-safe.
    unsafe impl Send for Handle {}
    // SAFETY: as above.
    unsafe impl Sync for Handle {}

    impl Handle {
        pub fn open(locale: &str) -> Option<Self> {
            let locale = CString::new(locale).ok()?;
            // SAFETY: a terminated string, and no base to be changed.
            let handle = unsafe { newlocale(MASK, locale.as_ptr(), std::ptr::null_mut()) };
            // Not `then_some`, which would make, and drop, a handle that is null.
            (!handle.is_null()).then(|| Self(handle))
        }

        pub fn compare(&self, left: &CStr, right: &CStr) -> Ordering {
            // SAFETY: terminated strings, and a locale that lives as long as `self`.
            unsafe { strcoll_l(left.as_ptr(), right.as_ptr(), self.0) }.cmp(&0)
        }
    }

    impl Drop for Handle {
        fn drop(&mut self) {
            // SAFETY: owned, and freed once.
            unsafe { freelocale(self.0) }
        }
    }

    pub fn version() -> Option<&'static str> {
        // SAFETY: a terminated string that lives as long as the process.
        unsafe { CStr::from_ptr(gnu_get_libc_version()) }.to_str().ok()
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod imp {
    use std::cmp::Ordering;
    use std::ffi::CStr;

    /// There is none.
    #[derive(Debug)]
    pub enum Handle {}

    impl Handle {
        pub fn open(_: &str) -> Option<Self> {
            None
        }

        pub fn compare(&self, _: &CStr, _: &CStr) -> Ordering {
            match *self {}
        }
    }

    pub fn version() -> Option<&'static str> {
        None
    }
}
