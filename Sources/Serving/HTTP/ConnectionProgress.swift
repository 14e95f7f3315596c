/// Where one HTTP/1.1 connection stands: what is being received, and how many answers are still due.
///
/// A state machine without clock or socket: the events go in, what the connection's limits mean for it comes out.
package struct ConnectionProgress: Equatable {
    package enum Receiving: Equatable {
        case nothing
        case head
        case body
    }

    /// What the client has to finish now, and in how long.
    package enum Limit: Equatable {
        case none
        case head
        case body
    }

    package enum Refusal: Equatable {
        /// Nothing was answered yet: the client can still be told.
        case answer
        /// An earlier request's answer comes first.
        case later
        /// The answer is already under way or given: there is nothing left to say.
        case close
    }

    package private(set) var receiving = Receiving.nothing
    /// Requests whose head came and whose answer hasn't ended.
    package private(set) var answersDue = 0
    package private(set) var answerBegan = false
    /// No further request is read on this connection.
    package private(set) var isLast = false

    package init() {}

    /// A client is only measured while it is its turn: a request behind a running answer may wait.
    package var limit: Limit {
        switch receiving {
        case .nothing: .none
        case .head: answersDue == 0 ? .head : .none
        case .body: answersDue <= 1 ? .body : .none
        }
    }

    /// What to do about a client that broke the protocol or a limit just now.
    package var refusal: Refusal {
        switch receiving {
        case .nothing, .head:
            return answersDue == 0 ? .answer : .later
        case .body:
            if answersDue == 0 || (answersDue == 1 && answerBegan) { return .close }
            return answersDue == 1 ? .answer : .later
        }
    }

    package mutating func bytesArrived() {
        if receiving == .nothing { receiving = .head }
    }

    package mutating func headArrived(keepsAlive: Bool) {
        receiving = .body
        answersDue += 1
        if !keepsAlive { isLast = true }
    }

    package mutating func requestEnded() {
        receiving = .nothing
    }

    package mutating func answerBegins(keepsAlive: Bool) {
        answerBegan = true
        if !keepsAlive { isLast = true }
    }

    package mutating func answerEnded() {
        answerBegan = false
        answersDue = max(0, answersDue - 1)
    }
}
