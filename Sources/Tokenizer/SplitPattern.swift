import CPCRE2

/// One compiled pattern of the pre-tokenizer, run by PCRE2's interpreter (the service forbids writable and executable
/// memory, so there is no JIT).
///
/// `@unchecked Sendable`: the compiled code is never written after `init`, and PCRE2 allows any number of threads to
/// match with it, each with its own `PatternMatcher`.
@safe
final class SplitPattern: @unchecked Sendable {
    fileprivate let code: OpaquePointer

    /// `literal` takes the pattern as plain text.
    init(_ pattern: String, literal: Bool, field: String) throws(TokenizerError) {
        let options = literal ? PCRE2_UTF | PCRE2_LITERAL : PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE
        let context = unsafe pcre2_compile_context_create_8(nil)
        defer { unsafe pcre2_compile_context_free_8(context) }
        // `.`, `^` and `$` know no other line end in the dialect of these patterns.
        unsafe pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))
        var error: Int32 = 0
        var offset = 0
        let utf8 = Array(pattern.utf8)
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

/// The state that matching needs, reused from match to match.
///
/// `@unchecked Sendable`: it goes from thread to thread, but only with the `EncodingWorkspace` that it belongs to, which
/// one call of `encode` at a time takes for itself.
@safe
final class PatternMatcher: @unchecked Sendable {
    private let data: OpaquePointer
    private let context: OpaquePointer

    /// A pattern that keeps state for each character of a long run may take this much.
    private static let heapLimit: UInt32 = 64 << 10  // KiB
    /// Internal calls of one match, besides those that grow with the text.
    private static let baseMatchLimit = 1_000_000

    init?() {
        guard let data = unsafe pcre2_match_data_create_8(1, nil) else { return nil }
        guard let context = unsafe pcre2_match_context_create_8(nil) else {
            unsafe pcre2_match_data_free_8(data)
            return nil
        }
        unsafe self.data = unsafe data
        unsafe self.context = unsafe context
        unsafe pcre2_set_heap_limit_8(context, Self.heapLimit)
    }

    deinit {
        unsafe pcre2_match_context_free_8(context)
        unsafe pcre2_match_data_free_8(data)
    }

    /// Must be called before the matches in a text of this length.
    func prepare(byteCount: Int) {
        unsafe pcre2_set_match_limit_8(context, UInt32(clamping: Self.baseMatchLimit + 16 * byteCount))
    }

    /// The first match in `subject` (valid UTF-8) at or after `offset`. What precedes `offset` is seen only by
    /// look-behind; what lies outside `subject` not at all.
    func firstMatch(
        _ pattern: SplitPattern, in subject: UnsafeBufferPointer<UInt8>, from offset: Int
    ) throws(TokenizerError) -> Range<Int>? {
        let result = unsafe pcre2_match_8(
            pattern.code, subject.baseAddress, subject.count, offset, UInt32(PCRE2_NO_UTF_CHECK), data, context)
        if result == PCRE2_ERROR_NOMATCH { return nil }
        guard result >= 0, let bounds = unsafe pcre2_get_ovector_pointer_8(data) else {
            throw TokenizerError(
                .patternLimit, field: "pre_tokenizer",
                "a pattern can't be matched against this text: \(SplitPattern.describe(result))")
        }
        return unsafe bounds[0]..<bounds[1]
    }
}
