import API
import FoundationEssentials
import HTTPTypes
import Hummingbird
import NIOHTTP1

/// A refusal as the client sees it: a status, OpenAI's error object, and what it should do next.
struct APIError: Error {
    var status: HTTPResponse.Status
    var details: ErrorResponse.Details
    var headers = HTTPFields()

    init(
        _ status: HTTPResponse.Status, type: String = "invalid_request_error", code: String? = nil,
        parameter: String? = nil, _ message: String
    ) {
        self.status = status
        details = .init(message: message, type: type, param: parameter, code: code)
    }

    var body: [UInt8] { WireJSON.encode(ErrorResponse(details)) }

    var response: Response {
        var fields = headers
        fields[.contentType] = "application/json"
        return Response(status: status, headers: fields, body: .init(byteBuffer: .init(bytes: body)))
    }
}

// What a request can do wrong.
extension APIError {
    static func invalid(_ parameter: String?, _ message: String) -> APIError {
        APIError(.badRequest, code: "invalid_value", parameter: parameter, message)
    }

    static func unsupported(_ parameter: String, _ message: String) -> APIError {
        APIError(.badRequest, code: "unsupported_parameter", parameter: parameter, message)
    }

    static func malformed(_ message: String) -> APIError {
        APIError(.badRequest, code: "invalid_json", message)
    }

    static func modelNotFound(_ name: String, available: String) -> APIError {
        APIError(
            .notFound, code: "model_not_found", parameter: "model",
            "the model '\(name)' isn't here; this daemon serves '\(available)'")
    }

    static func pathNotFound(_ path: String) -> APIError {
        APIError(.notFound, code: "unknown_url", "there is nothing at \(path)")
    }

    static func methodNotAllowed(_ method: String, path: String, allowed: [HTTPRequest.Method]) -> APIError {
        var error = APIError(
            .methodNotAllowed, code: "method_not_allowed", "\(path) doesn't take \(method)")
        error.headers[.allow] = allowed.map(\.rawValue).joined(separator: ", ")
        return error
    }

    static func bodyTooLarge(limit: Int) -> APIError {
        var error = APIError(
            .contentTooLarge, code: "request_too_large", "the body is larger than \(limit) bytes")
        // What is left of the body isn't worth reading.
        error.headers[.connection] = "close"
        return error
    }

    static func timeout(_ what: String, _ time: Duration) -> APIError {
        APIError(
            .requestTimeout, code: "request_timeout",
            "\(what) of the request didn't come within \(time.formattedSeconds)")
    }
}

// What the daemon can't do now.
extension APIError {
    static var draining: APIError {
        var error = APIError(
            .serviceUnavailable, type: "server_error", code: "draining", "the daemon is being stopped or restarted")
        error.headers[.retryAfterMilliseconds] = "2000"
        return error
    }

    static var tooManyConnections: APIError {
        var error = APIError(
            .serviceUnavailable, type: "server_error", code: "too_many_connections",
            "too many connections are open; try again in a moment")
        error.headers[.retryAfterMilliseconds] = "1000"
        return error
    }

    /// An expert or a tensor couldn't be read. Asking again reads the same bad bytes, so the client needn't.
    static func modelIO(_ message: String) -> APIError {
        var error = APIError(.internalServerError, type: "server_error", code: "model_io_error", message)
        error.headers[.shouldRetry] = "false"
        return error
    }

    static func internalError(_ message: String) -> APIError {
        APIError(.internalServerError, type: "server_error", code: "internal_error", message)
    }

    init(parserError: HTTPParserError, limits: ServerLimits) {
        self =
            switch parserError {
            case .headerOverflow:
                APIError(
                    .requestHeaderFieldsTooLarge, code: "header_too_large",
                    "the request's header has more than \(limits.headerByteCount) bytes "
                        + "or \(limits.headerFieldCount) fields")
            default:
                APIError(.badRequest, code: "malformed_request", "this isn't HTTP/1.1: \(parserError)")
            }
    }
}

extension HTTPField.Name {
    static let shouldRetry = HTTPField.Name(constant: "x-should-retry")
    static let retryAfterMilliseconds = HTTPField.Name(constant: "retry-after-ms")
    static let requestIdentifier = HTTPField.Name(constant: "x-request-id")

    /// For the names above, which are valid.
    private init(constant name: String) {
        self = HTTPField.Name(name) ?? .date
    }
}

extension Duration {
    var formattedSeconds: String {
        let (seconds, attoseconds) = components
        return attoseconds == 0 ? "\(seconds) s" : "\(Double(seconds) + Double(attoseconds) * 1e-18) s"
    }

    var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}
