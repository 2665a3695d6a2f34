//! Addresses with several servers, `scheme://user:password@a:5672,b:5672,c:5672/name`, as libpq writes them: brokers of a
//! cluster, a database and its standbys.

/// One address for each server of an address; the address itself if it names one.
pub fn each(url: &str) -> Vec<String> {
    let one = || vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return one() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, servers) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    if !servers.contains(',') {
        return one();
    }
    servers.split(',').map(|server| format!("{scheme}://{user}{}{path}", server.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_gets_the_rest_of_the_address() {
        assert_eq!(
            each("amqp://u:p,w@a:5672, b:5673,[::1]/v?x=1,2"),
            ["amqp://u:p,w@a:5672/v?x=1,2", "amqp://u:p,w@b:5673/v?x=1,2", "amqp://u:p,w@[::1]/v?x=1,2"]
        );
        assert_eq!(each("postgres://a,b"), ["postgres://a", "postgres://b"]);
    }

    #[test]
    fn one_server_stays_as_it_is() {
        for url in ["amqp://u:p,w@a:5672/v", "postgres:///db,x", "sqlite:///a,b/hub.db", "a,b", ""] {
            assert_eq!(each(url), [url]);
        }
    }
}
