import CPCRE2
import Glibc

/// The state that matching needs, reused from match to match.
///
/// `@unchecked Sendable`: it goes from thread to thread, but only with the `EncodingWorkspace` that it belongs to,
/// which one call of `encode` at a time takes for itself.
@safe
final class PatternMatcher: @unchecked Sendable {
    private let data: OpaquePointer
    private let context: OpaquePointer
    private let patience: UnsafeMutablePointer<Patience>

    /// A pattern that keeps state for each character of a long run may take this much.
    private static let heapLimit: UInt32 = 64 << 10  // KiB
    /// Internal calls of one attempt at one place, besides those that grow with the text.
    private static let baseMatchLimit = 1_000_000

    init?() {
        guard let data = unsafe pcre2_match_data_create_8(1, nil) else { return nil }
        guard let context = unsafe pcre2_match_context_create_8(nil) else {
            unsafe pcre2_match_data_free_8(data)
            return nil
        }
        unsafe self.data = unsafe data
        unsafe self.context = unsafe context
        unsafe patience = .allocate(capacity: 1)
        unsafe patience.initialize(to: Patience(byteCount: 0))
        unsafe pcre2_set_heap_limit_8(context, Self.heapLimit)
        unsafe pcre2_set_callout_8(
            context,
            { _, patience in
                guard let patience = unsafe patience?.assumingMemoryBound(to: Patience.self) else { return 0 }
                return unsafe patience.pointee.allowsAttempt() ? 0 : PCRE2_ERROR_CALLOUT
            }, patience)
    }

    deinit {
        unsafe pcre2_match_context_free_8(context)
        unsafe pcre2_match_data_free_8(data)
        unsafe patience.deallocate()
    }

    /// Must be called before the matches in a text of this length.
    func prepare(byteCount: Int) {
        unsafe patience.pointee = Patience(byteCount: byteCount)
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
            let reason =
                result == PCRE2_ERROR_CALLOUT ? "it takes too long" : SplitPattern.describe(result)
            throw TokenizerError(
                .patternLimit, field: "pre_tokenizer", "a pattern can't be matched against this text: \(reason)")
        }
        return unsafe bounds[0]..<bounds[1]
    }
}

/// How much longer the patterns may look at one text.
///
/// A pattern such as `\s+$` looks at a long run of spaces again from each of its places; PCRE2's own limits count only
/// what happens at one place. So the thread's processor time is looked at now and then.
private struct Patience {
    private var attempts = 0
    private let deadline: UInt64

    /// Ten times what a slow processor needs for ordinary text, and a second.
    init(byteCount: Int) {
        deadline = Self.processorTime() + 1_000_000_000 + 4_000 * UInt64(byteCount)
    }

    mutating func allowsAttempt() -> Bool {
        attempts += 1
        return attempts % 64 != 0 || Self.processorTime() < deadline
    }

    /// Nanoseconds that this thread has run: `clock_gettime`.
    private static func processorTime() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
