import API
import ExpertPaging
import Generation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Model
import NIOCore

/// Which path does what.
struct Routes: Sendable {
    private typealias Handler = @Sendable (Request, RequestConnection) async throws -> Response

    private let model: ServedModel
    private let memory: MemoryWatch
    private let watch: ModelWatch
    private let start: ContinuousClock.Instant
    private let completions: CompletionEndpoints

    init(
        model: ServedModel, memory: MemoryWatch, watch: ModelWatch, limits: ServerLimits,
        start: ContinuousClock.Instant
    ) {
        self.model = model
        self.memory = memory
        self.watch = watch
        self.start = start
        completions = CompletionEndpoints(model: model, limits: limits)
    }

    func respond(to request: Request, by connection: RequestConnection) async throws -> Response {
        let path = request.uri.path
        guard let (method, handler) = handler(path: path) else { throw APIError.pathNotFound(path) }
        if request.method == .head, method == .get {
            // The head of what GET would say, its length included.
            let response = try await handler(request, connection)
            return Response(status: response.status, headers: response.headers, body: .init())
        }
        guard request.method == method else {
            let allowed = method == .get ? [.get, .head] : [method]
            throw APIError.methodNotAllowed(request.method.rawValue, path: path, allowed: allowed)
        }
        return try await handler(request, connection)
    }

    private func handler(path: String) -> (HTTPRequest.Method, Handler)? {
        switch path {
        case "/health":
            return (.get, { _, _ in health() })
        case "/moed/status":
            return (.get, { _, _ in json(status()) })
        case "/moed/experts":
            return (.get, { _, _ in json(expertUse()) })
        case "/metrics":
            return (.get, { _, _ in metrics() })
        default:
            return apiHandler(path: path)
        }
    }

    /// OpenAI's endpoints stand under `/v1`; DeepSeek's clients also look at the root and under `/beta`.
    private func apiHandler(path: String) -> (HTTPRequest.Method, Handler)? {
        let rest = ["/v1/", "/beta/"].first(where: path.hasPrefix).map { path.dropFirst($0.count) } ?? path.dropFirst()
        switch rest {
        case "chat/completions":
            return (.post, completions.chat)
        case "completions":
            return (.post, completions.plain)
        case "models":
            return (.get, { _, _ in json(ModelList(data: [description])) })
        default:
            guard rest.hasPrefix("models/"), rest.count > 7 else { return nil }
            let name = String(rest.dropFirst(7))
            return (.get, { _, _ in try describe(percentDecoded(name)) })
        }
    }

    private func describe(_ name: String) throws -> Response {
        guard name == model.id else { throw APIError.modelNotFound(name, available: model.id) }
        return json(description)
    }

    private var description: ModelDescription {
        ModelDescription(
            id: model.id, created: model.created, ownedBy: "moed", contextLength: model.contextLength)
    }

    private func health() -> Response {
        let isDraining = model.engine.status().isDraining
        var response = json(Health(status: isDraining ? .draining : .ok))
        if isDraining {
            response.status = .serviceUnavailable
            response.headers[.retryAfterMilliseconds] = "2000"
        }
        return response
    }

    private func expertUse() -> ExpertUse {
        ExpertUse(
            layers: model.engine.experts.layers.map {
                ExpertUse.Layer(
                    layer: $0.layer, useCount: Int(clamping: $0.counters.uses),
                    hitCount: Int(clamping: $0.counters.hits), popularity: $0.popularity, isResident: $0.isResident,
                    paging: LayerPaging($0))
            })
    }

    /// The plan, and how it fares.
    private var memoryStatus: Status.Memory {
        var status = model.memory
        status.pressure = memory.status
        return status
    }

    private func metrics() -> Response {
        let metrics = MetricsText(
            engine: model.engine.status(), layers: model.engine.experts.layers, memory: memoryStatus,
            isFileSound: watch.isFileSound,
            uptime: ContinuousClock.now - start)
        return Response(
            status: .ok, headers: [.contentType: MetricsText.contentType],
            body: .init(byteBuffer: ByteBuffer(string: metrics.text)))
    }

    private func status() -> Status {
        let engine = model.engine.status()
        let state: Status.State =
            switch engine.activity {
            case .idle: .idle
            case .prefill: .prefill
            case .decode: .decode
            }
        return Status(
            version: Version.current, uptimeSeconds: (ContinuousClock.now - start).seconds,
            state: engine.isDraining ? .draining : state, model: model.facts,
            queue: .init(running: engine.runningCount, waiting: engine.waitingCount, limit: engine.queueLimit),
            throughput: .init(
                requestCount: engine.totals.completed + engine.totals.failed + engine.totals.cancelled,
                promptTokenCount: engine.totals.promptTokens, completionTokenCount: engine.totals.completionTokens,
                prefillTokensPerSecond: engine.prefillRate, decodeTokensPerSecond: engine.decodeRate,
                droppedTokenCount: model.hasExpertCapacity ? engine.totals.droppedTokens : nil),
            memory: memoryStatus, paging: .init(engine, model.engine.experts.layers, model.lossy),
            conditions: watch.conditions)
    }
}

/// RFC 3986, §2.1. A name that isn't encoded rightly stays as it is.
private func percentDecoded(_ text: String) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "%"), rest.count >= 2,
            let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
        {
            rest.removeFirst(2)
            bytes.append(value)
        } else {
            bytes.append(byte)
        }
    }
    return String(validating: bytes, as: UTF8.self) ?? text
}

private func json(_ value: some Encodable) -> Response {
    Response(
        status: .ok, headers: [.contentType: "application/json"],
        body: .init(byteBuffer: ByteBuffer(bytes: WireJSON.encode(value))))
}
