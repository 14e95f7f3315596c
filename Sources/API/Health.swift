/// The answer of `GET /health`: 200 while requests are taken, 503 while the daemon drains.
package struct Health: Codable, Sendable, Equatable {
    package var status: State

    package init(status: State) {
        self.status = status
    }

    package enum State: String, Codable, Sendable {
        case ok
        case draining
    }
}
