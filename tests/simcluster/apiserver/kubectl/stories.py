"""What people do with `kubectl`, as lists of commands, and what came out of a real cluster for each of them.

The rule it keeps: a story begins on a cluster with nothing but the objects of `kinds.yaml`; what differs from run to
run (ages, addresses, uids, revisions) is made the same before anything is compared.

`kubectl-v1.36.json` and its like hold what each command printed and its exit code, by version of kubectl, against etcd
with kube-apiserver v1.36.3 and nothing else. To record a story again, with a fresh server each time:

    python stories.py KUBECTL KUBECONFIG STORY
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PRELUDE = ("create serviceaccount default", "apply -f kinds.yaml")
_PATTERNS = (
    (r"[ \t]+(?=\n|$)", ""),
    (r"[ \t]{2,}|\t", "  "),
    # `describe configmap` up to 1.32 at least walks a map, in whatever order.
    (r"c:\n----\nd\n\na:\n----\nb\n", "a:\n----\nb\n\nc:\n----\nd\n"),
    (r"(Client Version: v\d+\.\d+)\.\d+(-[-.\w]+)?", r"\1.N"),
    (r'("?[rR]esource ?[vV]ersion"?: +)"?\d+"?', r"\1N"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( \+0000 UTC|Z|[+-]\d\d:\d\d)", "TIME"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+\d{4}", "TIME"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
    (r"\b(10|127|192)\.\d+\.\d+\.\d+(:\d+)?", "ADDRESS"),
    (r"IPv4  \d{5}\b", "IPv4  PORT"),
    (r"(?<=[: ])3[0-2]\d{3}/", "PORT/"),
    (r"\b\d+(m\d+)?[sm]\b(?! deleted)", "AGE"),
)

STORIES: dict[str, str] = {
    "get": """
        get rc,ds,sts,deploy,jobs,podtemplates,controllerrevisions,pdb,pvc,cm,secrets,sa,roles,rolebindings -o wide
        get pv,sc,csidrivers,csinodes,ingressclass,runtimeclass,nodes,ns -o wide
        get netpol,ing,endpoints,endpointslices,svc,leases,events,pods -o wide
        get deploy dep -o yaml
        get deploy dep -o json
        get deploy -o name
        get deploy/dep svc/svc cm/cm
        get deploy,svc,cm
        get pods -o custom-columns=N:.metadata.name,I:.spec.containers[0].image
        get pods -o jsonpath={.items[*].metadata.name}
        get pods -o go-template={{range.items}}{{.metadata.name}}{{end}}
        get pods --sort-by=.metadata.name
        get all
        get pods -A
        get pods --show-labels
        get pods -L a
        get pods -l a=b
        get pods -l 'a in (c),!x'
        get pods --field-selector=status.phase=Pending
        get pods --field-selector=nope=x
        get pods --no-headers
        get nope
        get pod nope
        get pods nope1 nope2
        get deploy --show-kind
        get events.events.k8s.io
        get deploy dep --subresource=scale
        get deploy dep --subresource=status -o name
        get hpa.v1.nope
    """,
    "describe": """
        describe deploy dep
        describe svc svc
        describe svc ext
        describe node n1
        describe cm cm
        describe secret sec
        describe sa sa
        describe job job
        describe sts sts
        describe ds ds
        describe rc rc
        describe ing ing
        describe ingressclass nginx
        describe netpol np
        describe pdb pdb
        describe role r
        describe rolebinding rb
        describe endpoints eps
        describe endpointslice esl
        describe sc slow
        describe priorityclass high
        describe lease l
        describe runtimeclass rtc
        describe podtemplate pt
        describe controllerrevision cr
        describe csidriver drv
        describe csinode cn
        describe event ev
        describe pod nope
        events
        events --for pod/p
        events --for pod/nope
        events --types=Warning
        events -A -o name
    """,
    "create": """
        create ns newns
        create ns newns
        create deployment cdep --image=i:1 --replicas=2 --port=80
        create configmap ccm --from-literal=a=b
        create configmap ccm --from-literal=a=b
        create secret generic csec --from-literal=a=b
        create secret docker-registry cdock --docker-username=u --docker-password=p --docker-server=s
        create serviceaccount csa
        create role crole --verb=get,list --resource=pods,deployments.apps
        create clusterrole cclusterrole --verb=get --resource=nodes
        create clusterrole cnr --verb=get --non-resource-url=/healthz
        create rolebinding crb --role=crole --user=u
        create clusterrolebinding ccrb --clusterrole=cclusterrole --group=g
        create service clusterip csvc --tcp=80:8080
        create service loadbalancer clb --tcp=80
        create service externalname cext --external-name=a.b
        create job cjob --image=i -- echo hi
        create ingress cing --rule=a.b/x*=svc:80
        create pdb cpdb --selector=a=b --min-available=1
        create priorityclass cpc --value=5
        create token nope
        create -f kinds.yaml
        create -f missing.yaml --dry-run=server
        create deployment Bad_Name --image=i
        run crun --image=i:1 --labels=z=y
        run crun --image=i:1
        run crun2 --image=i:1 --dry-run=client -o name
        expose deploy cdep --name=exposed --port=80 --target-port=8080
        expose pod crun --port=80
        expose pod crun --port=80
        get deploy,rs,job,ing,pdb,role,rolebinding,svc -l app=cdep
    """,
    "change": """
        label pod p x=y
        label pod p x=z
        label pod p x=z --overwrite
        label pod p x-
        label pods --all q=r
        label pods -l q=r s=t
        annotate pod p n=m
        annotate pod p n=o
        annotate pod p n-
        set image deploy/dep c=new
        set image deploy/dep nope=new
        set env deploy/dep A=B
        set env deploy/dep --list
        set resources deploy/dep --limits=cpu=200m,memory=512Mi
        set serviceaccount deploy/dep sa
        set selector svc svc a=z
        set subject rolebinding rb --user=new
        scale deploy/dep --replicas=5
        scale deploy/dep --replicas=6 --current-replicas=4
        scale rc/rc --replicas=1
        scale sts/sts --replicas=1
        scale --replicas=2 ds/ds
        scale --replicas=2 deploy/nope
        patch deploy dep -p '{"spec":{"replicas":7}}'
        patch deploy dep -p '{"spec":{"replicas":7}}'
        patch deploy dep --type=json -p '[{"op":"replace","path":"/spec/replicas","value":3}]'
        patch deploy dep --type=json -p '[{"op":"test","path":"/spec/replicas","value":9}]'
        patch deploy dep --subresource=scale --type=merge -p '{"spec":{"replicas":8}}'
        replace -f configmap.yaml
        replace --force -f configmap.yaml
        replace -f missing.yaml
        apply -f list.yaml
        apply -f list.yaml
        get -f list.yaml
        apply view-last-applied cm l1
        apply set-last-applied -f configmap.yaml
        delete -f list.yaml
        delete -f list.yaml
    """,
    "rollout": """
        create deployment cdep --image=i:1
        rollout status deploy/cdep --watch=false
        rollout status ds/ds --watch=false
        rollout status sts/sts --watch=false
        rollout history deploy/cdep
        rollout pause deploy/cdep
        rollout pause deploy/cdep
        rollout restart deploy/cdep
        rollout resume deploy/cdep
        rollout resume deploy/cdep
        rollout restart deploy/cdep
        rollout restart ds/ds
        rollout restart sts/sts
        rollout undo deploy/cdep
        rollout history ds/ds
        rollout history sts/sts
        rollout status pod/p
        wait --for=condition=Available deploy/cdep --timeout=1s
        wait --for=jsonpath={.spec.replicas}=1 deploy/cdep --timeout=2s
        wait --for=delete pod/nothere --timeout=1s
        wait --for=create pod/p --timeout=1s
        wait --for=condition=Ready pod/nothere --timeout=1s
    """,
    "nodes": """
        cordon n1
        uncordon n1
        uncordon n1
        cordon n1
        uncordon nope
        taint node n1 a=b:NoSchedule
        taint node n1 a=b:NoSchedule
        taint node n1 a=c:NoSchedule --overwrite
        taint node n1 a=b:Nope
        taint node n1 a-
        taint node n1 a-
        drain n1 --dry-run=server
        drain n1 --ignore-daemonsets
        drain nope
        uncordon n1
        top nodes
        top pods
    """,
    "access": """
        auth can-i create pods
        auth can-i get /healthz
        auth can-i nope pods
        auth can-i get nope
        auth reconcile -f role.yaml
        auth reconcile -f role.yaml
        certificate approve nope
        cp nope:/x x
        logs nope
        exec nope -- echo
        attach nope
        port-forward nope 1:1
    """,
    "delete": """
        delete pod p --now
        delete deploy dep --cascade=foreground --wait=false
        delete sts sts --cascade=orphan --wait=false
        delete rc rc --cascade=background
        delete cm cm --dry-run=server
        delete cm cm
        delete cm cm
        delete cm cm --ignore-not-found
        delete svc -l app=nope
        delete svc svc ext
        delete secret,sa sec sa
        delete job --all
        run one --image=i
        delete pods --all --grace-period=0 --force
        delete ns kube-public --wait=false
        delete ns default
        delete nope x
        get all
    """,
    "raw": """
        get --raw /version
        get --raw /healthz
        get --raw /livez
        get --raw /readyz/etcd
        get --raw /livez/ping
        get --raw /healthz/nope
        get --raw /nope
        get --raw /apis/apps
        get --raw /apis/apps/v1
        get --raw /apis/events.k8s.io/v1
        get --raw /apis/nope
        get --raw /apis/apps/v2
        get --raw /api/v1/nope
        get --raw /api/v1/namespaces/default/configmaps/nope
        version
        explain job.spec.nope
        explain nope
    """,
}


def even_out(text: str) -> str:
    """Return what was printed without what differs from run to run."""
    for pattern, put in _PATTERNS:
        text = re.sub(pattern, put, text)
    return text


def commands(story: str) -> list[str]:
    """Return the commands of a story."""
    return [line.strip() for line in STORIES[story].strip().splitlines()]


class Kubectl:
    """One program on one cluster, as the administrator."""

    def __init__(self, program: str, kubeconfig: str, home: str) -> None:
        self._command = [program, "--kubeconfig", kubeconfig, "--namespace", "default"]
        self._environment = {"PATH": "/usr/bin:/bin", "HOME": home}

    def run(self, command: str) -> tuple[int, str]:
        """Return the exit code and what was printed, evened out."""
        done = subprocess.run(
            [*self._command, *shlex.split(command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=self._environment,
            cwd=HERE,
            timeout=120,
            check=False,
            text=True,
        )
        return done.returncode, even_out(done.stdout)

    def begin(self) -> None:
        """Make what every story begins with."""
        for command in PRELUDE:
            code, text = self.run(command)
            assert code == 0, text

    def version(self) -> str:
        """Return the program's minor, such as `v1.36`."""
        _, text = self.run("version --client -o json")
        told = json.loads(text)["clientVersion"]
        return f"v{told['major']}.{told['minor'].rstrip('+')}"


def recording(version: str) -> Path:
    """Return where a version's recording is."""
    return HERE / f"kubectl-{version}.json"


def main(program: str, kubeconfig: str, story: str) -> None:
    """Record a story."""
    with tempfile.TemporaryDirectory() as home:
        kubectl = Kubectl(program, kubeconfig, home)
        path = recording(kubectl.version())
        known = json.loads(path.read_text()) if path.exists() else {}
        kubectl.begin()
        known[story] = [[command, *kubectl.run(command)] for command in commands(story)]
    path.write_text(json.dumps(known, indent=0) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
