import Container
import ExpertPaging
import Generation
import Logging

extension ServedModel {
    /// Begins with what earlier runs learnt. Returns what the person should know: a file that can't be used is no reason
    /// not to serve.
    static func warm(_ experts: ExpertStore, _ container: ContainerReader, from path: String?) -> [String] {
        guard let path, !container.experts.isEmpty else { return [] }
        do {
            let file = try PopularityFile.read(
                path: path, identity: container.indexChecksum, expertCount: container.experts.count)
            if let file { experts.warm(with: file) }
            return []
        } catch {
            return ["\(error)"]
        }
    }

    /// Keeps what is known of the experts' use for the next run.
    func keepPopularity(_ logger: Logger) {
        guard let popularityPath, engine.experts.shape.expertCount > 0 else { return }
        // Nothing was asked for, so what is kept already is the better knowledge.
        let counters = engine.experts.counters
        guard counters.hits + counters.misses > 0 else { return }
        do {
            try engine.experts.popularity.write(path: popularityPath)
        } catch {
            logger.warning("\(error)")
        }
    }

    /// Keeps it every few minutes, until cancelled: a daemon that is killed loses no more.
    func keepPopularityRegularly(_ logger: Logger) async throws {
        while true {
            try await Task.sleep(for: .seconds(300))
            keepPopularity(logger)
        }
    }
}
