package import API

/// What kept `moectl` from doing what it was asked: what happened, and what the person can do about it.
package struct ClientError: Error, Equatable, CustomStringConvertible {
    package let code: Code
    package let message: String
    package let advice: String?

    package init(_ code: Code, _ message: String, advice: String? = nil) {
        self.code = code
        self.message = message
        self.advice = advice
    }

    package var description: String {
        advice.map { "\(message)\n\($0)" } ?? message
    }

    /// The raw value is the exit code, from `sysexits.h`; scripts rely on it.
    package enum Code: Int32, Sendable {
        case usage = 64
        /// The daemon refused the request as it is: sending it again won't help.
        case refused = 65
        /// No daemon answers.
        case unavailable = 69
        /// The daemon failed.
        case failed = 70
        case inputOutput = 74
        /// The daemon is busy or stopping: the same request may succeed later.
        case busy = 75
        /// What came back isn't the protocol.
        case badAnswer = 76
        case permission = 77
        case interrupted = 130
        case brokenPipe = 141
    }
}

extension ClientError {
    /// The daemon's own refusal, in its own words.
    package init(status: Int, details: ErrorResponse.Details?) {
        let code: Code =
            switch status {
            case 401, 403: .permission
            case 408, 429, 503: .busy
            case 400..<500: .refused
            case 500...: .failed
            default: .badAnswer
            }
        let message = details?.message ?? "the daemon answered with HTTP status \(status)"
        self.init(code, message, advice: code == .busy ? "Try again in a moment." : nil)
    }

    /// The event that ends a stream which failed.
    package init(streamed details: ErrorResponse.Details) {
        self.init(details.code == "draining" ? .busy : .failed, details.message)
    }

    static let cutShort = ClientError(
        .badAnswer, "the daemon closed the connection in the middle of its answer",
        advice: "Look at its journal: journalctl -u moed -e")
}
