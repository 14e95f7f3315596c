import CPCRE2

/// One compiled pattern of the pre-tokenizer, run by PCRE2's interpreter (the service forbids writable and executable
/// memory, so there is no JIT).
///
/// `@unchecked Sendable`: the compiled code is never written after `init`, and PCRE2 allows any number of threads to
/// match with it, each with its own `PatternMatcher`.
@safe
final class SplitPattern: @unchecked Sendable {
    let code: OpaquePointer

    /// `literal` takes the pattern as plain text.
    init(_ pattern: String, literal: Bool, field: String) throws(TokenizerError) {
        let options = literal ? PCRE2_UTF | PCRE2_LITERAL : PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE
        let context = unsafe pcre2_compile_context_create_8(nil)
        defer { unsafe pcre2_compile_context_free_8(context) }
        // `.`, `^` and `$` know no other line end in the dialect of these patterns.
        unsafe pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))
        var error: Int32 = 0
        var offset = 0
        // The callout at its head is what lets `PatternMatcher` stop a match that takes too long.
        let utf8 = Array((literal ? pattern : "(?C)(?:\(pattern))").utf8)
        guard let code = unsafe pcre2_compile_8(utf8, utf8.count, UInt32(options), &error, &offset, context) else {
            throw TokenizerError(
                .malformed, field: field, "the pattern isn't valid at byte \(offset): \(Self.describe(error))")
        }
        unsafe self.code = unsafe code
        var matchesEmpty: UInt32 = 0
        unsafe pcre2_pattern_info_8(code, UInt32(PCRE2_INFO_MATCHEMPTY), &matchesEmpty)
        guard matchesEmpty == 0 else {
            throw TokenizerError(.unsupported, field: field, "the pattern can match nothing at all")
        }
    }

    deinit { unsafe pcre2_code_free_8(code) }

    static func describe(_ error: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = unsafe pcre2_get_error_message_8(error, &buffer, buffer.count)
        return String(decoding: buffer.prefix(Int(max(0, count))), as: UTF8.self)
    }
}
