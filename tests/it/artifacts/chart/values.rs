//! Value sets of the chart: those that render, and those that are refused.

/// Classes of which some name a certificate.
pub const CERTIFICATES: &str = r#"classes=[{"name":"a","namespaces":{"all":true},"defaultCertificate":{"secret":"front-tls"}},{"name":"b","namespaces":{"all":true},"defaultCertificate":{"secret":"front-tls"}},{"name":"c","namespaces":{"all":true},"defaultCertificate":{"secret":""}}]"#;

/// A class whose tunnels may be open proxies.
pub const OPEN: &str = r#"classes=[{"name":"lax","namespaces":{"all":true},"requireAuth":false},{"name":"strict","namespaces":{"all":true}}]"#;

/// Value sets that must render; each is a list of Helm arguments.
pub const GOOD: &[&[&str]] = &[
    &[],
    &["--set", "replicaCount=null"],
    &[
        "--set-json",
        r#"classes=[{"name":"a","namespaces":{"all":true},"hostnames":["*.{namespace}.example.com","x-{namespace}.y"],"paths":["/","/t/{namespace}/"],"limits":{"maxDrain":"1h30m","idleTimeout":"0s"}}]"#,
    ],
    &["--set", "crds.install=false"],
    &[
        "--set-json",
        r#"classes=[{"name":"a","default":true,"namespaces":{"matchLabels":{"tunnels":"yes"}},"limits":{"tunnelsPerNamespace":5}},{"name":"b","namespaces":{"names":["x"]},"ports":{"bind":5000}}]"#,
    ],
    &[
        "--set-json",
        r#"classes=[{"name":"a","namespaces":{"all":true},"requireAuth":true}]"#,
        "--set",
        "front.service.type=LoadBalancer",
    ],
    // A class requires users unless it says otherwise.
    &[
        "--set-json",
        r#"classes=[{"name":"a","namespaces":{"all":true}}]"#,
        "--set",
        "front.service.type=NodePort",
    ],
    &["--set", "front.ingress.enabled=true", "--set", "front.ingress.hosts[0].host=a"],
    &["--set-json", OPEN],
    &["--set", "admissionPolicy.enabled=false"],
    &["--set", "networkPolicy.enabled=true"],
    &[
        "--set",
        "networkPolicy.enabled=true",
        "--set-json",
        r#"networkPolicy.front.from=[{"ipBlock":{"cidr":"192.0.2.0/24"}}]"#,
        "--set-json",
        r#"networkPolicy.metrics.from=[{"namespaceSelector":{"matchLabels":{"a":"b"}}}]"#,
        "--set-json",
        "networkPolicy.exposed.from=[]",
        "--set-json",
        r#"networkPolicy.extraIngress=[{"ports":[{"port":1080}]}]"#,
        "--set-json",
        r#"networkPolicy.egress=[{"to":[{"ipBlock":{"cidr":"10.0.0.0/8"}}]}]"#,
    ],
    &["--set", "watch.namespaces={team-a,team-b}"],
    &["--set", "watch.namespaces={team-a}", "--set", "rbac.secretNames={edge-tls,users.v1}"],
    &["--set", "watch.namespaces={team-a}", "--set-json", CERTIFICATES],
    &["--set", "rbac.create=false", "--set", "rbac.aggregate=false"],
    &["--set", "serviceAccount.create=false", "--set", "serviceAccount.name=mine"],
    &[
        "--set-json",
        OPEN,
        "--set",
        "front.allowOpenProxies=true",
        "--set",
        "front.service.type=NodePort",
        "--set",
        "front.service.nodePorts.http=30080",
        "--set",
        "front.service.externalTrafficPolicy=Local",
    ],
    &[
        "--set",
        "front.allowOpenProxies=true",
        "--set",
        "front.service.type=LoadBalancer",
        "--set",
        "front.service.loadBalancerClass=example.com/lb",
        "--set",
        "front.service.loadBalancerSourceRanges={192.0.2.0/24}",
        "--set-string",
        "front.service.annotations.example\\.com/internal=true",
    ],
    &[
        "--set",
        "front.allowOpenProxies=true",
        "--set",
        "front.ingress.enabled=true",
        "--set",
        "front.ingress.className=nginx",
        "--set-json",
        r#"front.ingress.hosts=[{"host":"edge.example.com"},{"paths":[{"path":"/x","pathType":"Exact"}]}]"#,
        "--set-json",
        r#"front.ingress.tls=[{"secretName":"edge-tls","hosts":["edge.example.com"]}]"#,
    ],
    &[
        "--set",
        "front.service.ipFamilyPolicy=PreferDualStack",
        "--set",
        "front.service.ipFamilies={IPv4,IPv6}",
        "--set",
        "metrics.service.enabled=false",
    ],
    &[
        "--set",
        "image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "--set",
        "imagePullSecrets={pull}",
        "--set-json",
        r#"global.imagePullSecrets=[{"name":"global"}]"#,
    ],
    &[
        "--set",
        "drain.shutdownDelaySeconds=5",
        "--set",
        "drain.timeoutSeconds=600",
        "--set",
        "terminationGracePeriodSeconds=900",
    ],
    &[
        "--set",
        "egress.deny={10.0.0.1/32,fd00::/8}",
        "--set",
        "egress.allow={127.0.0.0/8}",
        "--set-json",
        r#"extraArgs=["--one-more=true"]"#,
    ],
    &[
        "--set",
        "nameOverride=tunnel",
        "--set",
        "fullnameOverride=a-name-that-is-longer-than-a-service-name-may-be-with-a-suffix",
        "--set",
        "namespaceOverride=elsewhere",
    ],
    &[
        "--set",
        "commonLabels.team=edge",
        "--set",
        "commonAnnotations.note=x",
        "--set",
        "podLabels.tier=front",
        "--set-string",
        "podAnnotations.n=1",
        // Labels that selectors rely on stay what they are.
        "--set",
        "podLabels.app\\.kubernetes\\.io/name=other",
        "--set",
        "commonLabels.app\\.kubernetes\\.io/instance=other",
    ],
    &[
        "--set",
        "priorityClassName=high",
        "--set",
        "runtimeClassName=gvisor",
        "--set",
        "nodeSelector.disk=ssd",
        "--set",
        "dnsPolicy=None",
        "--set-json",
        r#"dnsConfig={"nameservers":["192.0.2.53"]}"#,
        "--set-json",
        r#"tolerations=[{"operator":"Exists"}]"#,
        "--set-json",
        r#"hostAliases=[{"ip":"192.0.2.1","hostnames":["a"]}]"#,
        "--set-json",
        r#"affinity={"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[]}}"#,
        "--set-json",
        r#"topologySpreadConstraints=[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"ScheduleAnyway"}]"#,
    ],
    &[
        "--set-json",
        r#"extraEnv=[{"name":"A","value":"b"}]"#,
        "--set-json",
        r#"extraEnvFrom=[{"configMapRef":{"name":"env"}}]"#,
        "--set-json",
        r#"extraVolumes=[{"name":"tmp","emptyDir":{}}]"#,
        "--set-json",
        r#"extraVolumeMounts=[{"name":"tmp","mountPath":"/tmp"}]"#,
        "--set-json",
        r#"extraObjects=[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"{{ .Release.Name }}-map"}},"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: text}"]"#,
    ],
    &["--set", "replicaCount=3", "--set", "pdb.maxUnavailable=34%"],
    &["--set", "replicaCount=1"],
    &[
        "--set",
        "replicaCount=0",
        "--set",
        "strategy.type=Recreate",
        "--set",
        "strategy.rollingUpdate=null",
    ],
];

/// Value sets that must not render, and what the message has to name.
pub const BAD: &[(&[&str], &str)] = &[
    (&["--set", "image.tga=1"], "tga"),
    (&["--set", "replicas=1"], "replicas"),
    (
        &[
            "--set-json",
            r#"classes=[{"name":"a","namespaces":{"all":true},"ports":{"bind":"99-1"}}]"#,
        ],
        "ports.bind of a is 99-1",
    ),
    (
        &[
            "--set-json",
            r#"classes=[{"name":"a","namespaces":{"all":true},"ports":{"bind":70000}}]"#,
        ],
        "/classes/0/ports/bind",
    ),
    (
        &[
            "--set-json",
            r#"classes=[{"name":"a","namespaces":{"all":true},"ports":{"allocate":"8000-9000"}}]"#,
        ],
        "ports.allocate of a has 8080",
    ),
    (
        &[
            "--set-json",
            r#"classes=[{"name":"a","namespaces":{"all":true}},{"name":"b","namespaces":{"all":true},"ports":{"bind":25000,"allocate":"30000-31000"}}]"#,
        ],
        "ports.bind of b overlaps ports.allocate of a",
    ),
    (
        &[
            "--set-json",
            r#"classes=[{"name":"a","namespaces":{"all":true},"hostnames":["foo..bar"]}]"#,
        ],
        "/classes/0/hostnames/0",
    ),
    (
        &[
            "--set-json",
            r#"classes=[{"name":"a","namespaces":{"all":true},"hostnames":["{team}.x"]}]"#,
        ],
        "/classes/0/hostnames/0",
    ),
    (
        &["--set-json", r#"classes=[{"name":"a","namespaces":{"all":true},"paths":["/a/../b"]}]"#],
        "paths of a has /a/../b",
    ),
    (
        &["--set-json", r#"classes=[{"name":"a","namespaces":{"all":true},"paths":["/a b"]}]"#],
        "/classes/0/paths/0",
    ),
    (
        &["--set-json", r#"classes=[{"name":"a","namespaces":{"names":[]}}]"#],
        "/classes/0/namespaces/names",
    ),
    (
        &[
            "--set-json",
            r#"classes=[{"name":"a","namespaces":{"all":true},"limits":{"maxDrain":"soon"}}]"#,
        ],
        "/classes/0/limits/maxDrain",
    ),
    (&["--set", "front.service.typ=NodePort"], "typ"),
    (&["--set", "front.service.type=ExternalName"], "/front/service/type"),
    (&["--set", "front.ingress.hosts[0].hots=a"], "hots"),
    (&["--set", "drain.timeout=60s"], "timeout"),
    (&["--set", "drain.timeoutSeconds=60s"], "/drain/timeoutSeconds"),
    (
        &["--set", "probes.readiness.terminationGracePeriodSeconds=5"],
        "terminationGracePeriodSeconds",
    ),
    (&["--set", "egress.deny={10.0.0.1}"], "/egress/deny"),
    (&["--set", "image.digest=sha256:12"], "/image/digest"),
    (&["--set", "watch.namespaces={Team}"], "/watch/namespaces"),
    (
        &["--set-json", OPEN, "--set", "front.service.type=NodePort"],
        "in these classes: lax; or, if you know who may create WsTunnels and who reaches the front, \
         set front.allowOpenProxies=true",
    ),
    (
        &[
            "--set-json",
            r#"classes=[{"name":"a","namespaces":{"all":true},"handlers":["auto","relay"]}]"#,
        ],
        "handlers of a has auto",
    ),
    (&["--set-json", r#"networkPolicy.front.from=["10.0.0.0/8"]"#], "/networkPolicy/front/from"),
    (&["--set", "networkPolicy.metrics.fromm=x"], "fromm"),
    (&["--set", "admissionPolicy.enable=true"], "enable"),
    (&["--set-json", "classes=null"], "classes: there is none"),
    (
        &[
            "--set-json",
            r#"classes=[{"name": "a", "namespaces": {"all": true}}, {"name": "a", "namespaces": {"all": true}}]"#,
        ],
        "two have the name a",
    ),
    (
        &["--set-json", OPEN, "--set", "front.service.type=LoadBalancer"],
        "front.allowOpenProxies=true",
    ),
    (
        &[
            "--set-json",
            OPEN,
            "--set",
            "front.ingress.enabled=true",
            "--set",
            "front.ingress.hosts[0].host=a",
        ],
        "front.allowOpenProxies=true",
    ),
    (
        &["--set", "front.allowOpenProxies=true", "--set", "front.ingress.enabled=true"],
        "front.ingress.hosts",
    ),
    (&["--set-json", r#"classes=[{"name":"a","namespaces":{"all":true},"path":["/x"]}]"#], "path"),
    (
        &[
            "--set",
            "watch.namespaces={x}",
            "--set-json",
            r#"classes=[{"name":"a","namespaces":{"matchLabels":{"t":"y"}}}]"#,
        ],
        "namespaces.matchLabels of a",
    ),
    (
        &[
            "--set-json",
            r#"classes=[{"name":"a","default":true,"namespaces":{"all":true}},{"name":"b","default":true,"namespaces":{"all":true}}]"#,
        ],
        "more than one has default",
    ),
    (&["--set", "front.service.nodePorts.http=30080"], "front.service.nodePorts.http"),
    (
        &["--set", "front.service.externalTrafficPolicy=Local"],
        "front.service.externalTrafficPolicy",
    ),
    (&["--set", "front.service.loadBalancerClass=x"], "front.service.loadBalancerClass"),
    (&["--set", "terminationGracePeriodSeconds=79"], "drain.timeoutSeconds + 10 = 80"),
    (&["--set", "drain.timeoutSeconds=100", "--set", "terminationGracePeriodSeconds=80"], "= 120"),
    (&["--set", "pdb.maxUnavailable=0"], "/pdb/maxUnavailable"),
    (&["--set", "pdb.minAvailable=1"], "minAvailable"),
    (&["--set", "serviceAccount.create=false"], "serviceAccount.name"),
    (&["--set", "rbac.secretNames={edge-tls}"], "watch.namespaces"),
    (
        &[
            "--set-json",
            r#"classes=[{"name":"a","namespaces":{"all":true},"defaultCertificate":{"secret":"a/b"}}]"#,
        ],
        "/defaultCertificate/secret",
    ),
    (&["--set", "watch.namespaces={a}", "--set", "rbac.secretNames={a=b}"], "/rbac/secretNames"),
];
